package page_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// A handover is asked for only of the leader that was shown, and what the agent refuses is told.
func TestHandOverRefused(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.may = []string{"409"}
	queue := []member{{ID: "b"}, {ID: "c"}}
	f.put(&election{Path: "/a b", Leader: &member{ID: "a", Token: 5}, Queue: queue})
	p.open(f.URL + "/#/a%20b")
	p.click("#detail .hand")
	p.until(js("#hand-over") + `.open`)
	if got := p.text("#hand-over"); !strings.Contains(got, "a leads with token 5") {
		t.Errorf("the dialog says %q", got)
	}

	f.put(&election{Path: "/a b", Leader: &member{ID: "z", Token: 9}, Queue: queue})
	p.until(js("#detail .leader") + `.innerText === "z"`)
	p.press(kb.Enter)
	p.until(js("#hand-over .trouble") + `.innerText.includes("Meanwhile z was elected")`)
	if len(f.asked) != 0 {
		t.Fatal("the new leader was asked to hand over, and the dialog told of the old one")
	}
	p.click(`#hand-over input[value="c"]`)
	p.click("#hand-over .primary")
	p.until(js("#hand-over .trouble") + `.innerText === "Another transfer was asked for and is not done yet."`)
	if got := <-f.asked; got != `/a b {"id":"c","timeout":"30s"}` {
		t.Errorf("asked for %s", got)
	}
	p.press(kb.Escape)
	p.until(`!` + js("#hand-over") + `.open && document.activeElement.matches("#detail .hand")`)
}
