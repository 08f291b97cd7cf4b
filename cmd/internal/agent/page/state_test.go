package page_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestEmpty(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.open(f.URL)
	p.until(`!` + js("#empty") + `.hidden && ` + js("#overview") + `.hidden`)
	if got := p.text("#empty"); !strings.Contains(got, "No election yet") || !strings.Contains(got, f.URL+"/v1/elections/demo/campaign") {
		t.Errorf("the page says %q", got)
	}
	f.put(&election{Path: "/first", Leader: &member{ID: "a", Value: "1", Token: 5}, Since: time.Now(), Terms: 1})
	p.until(js(card("/first")+" .who") + `?.innerText === "a"`)
	if got := p.text("#title"); got != "1 election" {
		t.Errorf("the title is %q", got)
	}
}

// How terms began is told apart, whether the page saw every event or only the last one.
func TestChanges(t *testing.T) {
	f, p := newFake(t), newTab(t)
	now, zero, gap := time.Now(), 0.0, 2310.0
	at := func(s int) time.Time { return now.Add(time.Duration(s-60) * time.Second) }
	say := func(path, id string, token int64, terms int, since time.Time, gap *float64) {
		e := &election{Path: path, Terms: terms, Since: since, GapMS: gap}
		if id != "" {
			e.Leader = &member{ID: id, Token: token}
		}
		f.put(e)
	}
	for _, path := range []string{"/handover", "/crash", "/lumped", "/restarted", "/open", "/many"} {
		say(path, "a", 1, 3, time.Time{}, nil)
	}
	p.open(f.URL)
	say("/handover", "b", 2, 4, at(10), &zero)
	say("/crash", "", 0, 3, time.Time{}, nil)
	say("/crash", "b", 2, 4, at(20), &gap)
	say("/lumped", "b", 2, 4, at(30), &gap)
	say("/restarted", "b", 2, 1, time.Time{}, nil)
	say("/open", "", 0, 3, time.Time{}, nil)
	say("/many", "b", 9, 8, at(40), &zero)
	p.until(`document.querySelectorAll("#feed li").length === 6`)
	for path, want := range map[string]string{
		"/handover":  "b took over from a no gap",
		"/crash":     "b was elected after a 2.31 s gap",
		"/lumped":    "b was elected after a 2.31 s gap",
		"/restarted": "b leads, no longer a",
		"/open":      "Nobody leads: a is gone vacant",
		"/many":      "b took over from a 4 changes not seen · no gap",
	} {
		got := eval[string](p, `[...document.querySelectorAll("#feed li")].find((li) => li.querySelector("a").innerText === `+quote(path)+`)?.innerText ?? ""`)
		if got = strings.Join(strings.Fields(got), " "); !strings.HasSuffix(got, path+" "+want) {
			t.Errorf("of %s the page says %q, want %q", path, got, want)
		}
	}
	kinds := func(path string) string {
		return eval[string](p, `[...document.querySelectorAll(`+quote(card(path)+" .strip i")+`)].map((i) => i.className).join(" ")`)
	}
	for path, want := range map[string]string{"/handover": "handed", "/crash": "cut", "/lumped": "cut", "/restarted": "blind", "/open": "cut"} {
		if got := kinds(path); !strings.Contains(got, want) {
			t.Errorf("the strip of %s has %q, want %q", path, got, want)
		}
	}
	if got := kinds("/handover"); strings.Contains(got, "cut") {
		t.Errorf("a handover is drawn as a gap: %s", got)
	}
	if got := p.text("#sums"); got != "5 led, 1 without a leader." {
		t.Errorf("sums: %q", got)
	}
	p.click("#vacant-only")
	p.until(`document.querySelectorAll(".card:not([hidden])").length === 1 && !` + js(card("/open")) + `.hidden`)
}

// Where nothing was seen no gap is claimed, and none is denied: not by what the agent has seen, nor by when the page was told.
func TestNotSeen(t *testing.T) {
	f, p := newFake(t), newTab(t)
	say := func(path, id string, token int64, terms int, since time.Time, unseen *float64) {
		e := &election{Path: path, Terms: terms, Since: since, UnseenMS: unseen}
		if id != "" {
			e.Leader = &member{ID: id, Token: token}
		}
		f.put(e)
	}
	for _, path := range []string{"/step", "/crash", "/unknown"} {
		say(path, "a", 1, 3, time.Now().Add(-time.Minute), nil)
	}
	p.open(f.URL + "/#/step")
	outage, stopped := 8000.0, 50_000.0
	say("/step", "b", 2, 4, time.Now(), &outage)
	say("/crash", "", 0, 3, time.Time{}, nil)
	say("/crash", "b", 2, 4, time.Now(), &stopped)
	say("/unknown", "", 0, 3, time.Time{}, nil)
	say("/unknown", "b", 2, 4, time.Time{}, nil)
	p.until(js("#detail .leader") + `.innerText === "b"`)
	if got := p.text("#detail .gap") + " " + p.text("#detail .how"); got != "not seen for 8.00 s" {
		t.Errorf("of the last change the page says %q", got)
	}
	p.open(f.URL + "/#/crash") // another page, which looks for the first time
	p.until(js("#detail .leader") + `.innerText === "b"`)
	if got := p.text("#detail .gap") + " " + p.text("#detail .how"); got != "not seen for 50.0 s" {
		t.Errorf("of a change before it looked the page says %q", got)
	}
	p.open(f.URL)
	say("/step", "a", 3, 5, time.Now(), &outage)
	say("/crash", "", 0, 4, time.Time{}, nil)
	say("/crash", "a", 3, 5, time.Now(), &stopped)
	say("/unknown", "", 0, 4, time.Time{}, nil)
	say("/unknown", "a", 3, 5, time.Time{}, nil)
	for path, want := range map[string]string{
		"/step":    "a leads, no longer b not seen for 8.00 s",
		"/crash":   "a leads, no longer b not seen for 50.0 s",
		"/unknown": "a leads, no longer b",
	} {
		item := `([...document.querySelectorAll("#feed li")].find((li) => li.querySelector("a").innerText === ` + quote(path) + `)?.innerText ?? "")`
		p.until(item + `.includes("a leads")`)
		got := strings.Join(strings.Fields(eval[string](p, item)), " ")
		if !strings.HasSuffix(got, path+" "+want) {
			t.Errorf("of %s the page says %q, want %q", path, got, want)
		}
	}
}

func TestAgentLost(t *testing.T) {
	t.Parallel()
	f, p := newFake(t), newTab(t)
	p.may = []string{"Failed to load resource"} // what the browser says when nobody answers
	f.put(&election{Path: "/web", Leader: &member{ID: "a", Token: 5}, Since: time.Now().Add(-time.Minute), Terms: 1})
	p.open(f.URL)
	p.until(js("#agent-link") + `.dataset.state === "live"`)
	eval[float64](p, `(Math.random = () => 1000)()`) // the page waits for minutes before it tries again by itself: only the button may bring it back
	f.lose()
	p.until(`document.documentElement.classList.contains("stale") && !` + js("#banner") + `.hidden`)
	if got := p.text("#banner"); !strings.Contains(got, "Stale: the agent is lost since") {
		t.Errorf("the banner says %q", got)
	}
	p.until(`/lost [1-9]\d* s/.test(` + js("#agent-link") + `.innerText)`) // it has ticked
	held := p.text(card("/web") + " .held")
	p.until(`/lost ([3-9]|\d\d) s/.test(` + js("#agent-link") + `.innerText)`)
	if now := p.text(card("/web") + " .held"); now != held {
		t.Errorf("while nothing can be seen, the time that a leads went from %s to %s", held, now)
	}
	f.mu.Lock()
	f.elections["/web"] = &election{Path: "/web", Leader: &member{ID: "b", Token: 9}, Queue: []member{}, Terms: 1}
	f.mu.Unlock()
	f.comeBack()
	p.click("#retry")
	p.until(`!document.documentElement.classList.contains("stale") && ` + js("#banner") + `.hidden`)
	p.until(js(card("/web")+" .who") + `.innerText === "b"`)
	blind := js(card("/web") + " .strip .blind:last-child")
	p.until(blind + ` !== null && parseFloat(` + blind + `.style.left) + parseFloat(` + blind + `.style.width) < 99.9`)
}

// A connection that is half open, or an agent that hangs, says nothing; that is noticed.
func TestAgentSilent(t *testing.T) {
	t.Parallel()
	f, p := newFake(t), newTab(t)
	f.put(&election{Path: "/web", Leader: &member{ID: "a", Token: 5}})
	p.open(f.URL)
	f.mu.Lock()
	f.silent = true
	f.mu.Unlock()
	lost := when[string](p, js("#banner")+`.innerText.includes("it has said nothing for 7 seconds")`, js("#agent-link")+`.innerText`)
	if !regexp.MustCompile(`lost ([6-9]|\d\d) s`).MatchString(lost) {
		t.Errorf("when that was noticed the agent was %q, and not since it was last heard", lost)
	}
	f.mu.Lock()
	f.silent = false
	f.mu.Unlock()
	p.until(`!document.documentElement.classList.contains("stale")`)
}

func TestEtcdLost(t *testing.T) {
	f, p := newFake(t), newTab(t)
	f.reach(false)
	p.load(f.URL)
	p.until(js("#empty h1") + `.innerText === "The agent does not reach etcd"`)
	f.reach(true)
	f.put(&election{Path: "/web", Leader: &member{ID: "a", Token: 5}, Terms: 1})
	p.until(js(card("/web")) + ` !== null`)
	f.reach(false)
	p.until(js("#banner") + `.innerText.includes("the agent has lost etcd since")`)
	p.until(js("#etcd-link") + `.dataset.state === "lost"`)
	f.reach(true)
	p.until(js("#banner") + `.hidden && ` + js("#etcd-link") + `.dataset.state === "live"`)
}

// What is not told of any more after a new beginning does not exist any more.
func TestGoneMeanwhile(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.may = []string{"Failed to load resource"}
	f.put(&election{Path: "/a", Leader: &member{ID: "a", Token: 5}}, &election{Path: "/b", Leader: &member{ID: "b", Token: 6}})
	p.open(f.URL)
	f.lose()
	p.until(`document.documentElement.classList.contains("stale")`)
	f.mu.Lock()
	delete(f.elections, "/a")
	f.mu.Unlock()
	f.comeBack()
	p.until(js(card("/a")) + `.dataset.state === "empty"`)
	if got := p.text(card("/b") + " .who"); got != "b" {
		t.Errorf("/b is led by %q", got)
	}
}

func TestToken(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.may = []string{"401"}
	f.token = "correct-horse-battery"
	f.put(&election{Path: "/web", Leader: &member{ID: "a", Token: 5}})
	p.load(f.URL)
	p.until(js("#access") + `.open`)
	p.do(chromedp.EmulateViewport(360, 740))
	p.until(fits(360))
	p.press("wrong\r")
	p.until(js("#access") + `.open && ` + js("#access .trouble") + `.innerText.includes("not one of this agent's")`)
	p.do(fill("#access [name=token]", f.token))
	p.press("\r")
	p.until(js(card("/web")) + ` !== null && !` + js("#access") + `.open`)
	p.open(f.URL + "/?again")
	p.until(js(card("/web")) + ` !== null`)
	if eval[bool](p, `location.href.includes("horse") || document.cookie !== ""`) {
		t.Error("the token is kept where others see it")
	}
}
