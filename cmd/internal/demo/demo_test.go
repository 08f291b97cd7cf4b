package demo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The demo's verdict is worth something only if it can be bad.
func TestJudge(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	said := func(who, kind string, token int64, ms int) record {
		return record{who: who, Kind: kind, Token: token, At: at(ms)}
	}
	tests := []struct {
		name    string
		records []record
		closest time.Duration
		wrong   string
	}{
		{"one after the other", []record{
			said("ada", "select", 2, 0), said("ada", "deselect", 2, 100), said("bob", "select", 5, 101),
			said("bob", killed, 0, 200), said("bob", ended, 0, 201), said("cleo", "select", 7, 3000),
		}, time.Millisecond, ""},
		{"told in another order", []record{
			said("bob", "select", 5, 103), said("ada", "select", 2, 0), said("ada", "deselect", 2, 100),
		}, 3 * time.Millisecond, ""},
		{"two at a time", []record{
			said("ada", "select", 2, 0), said("bob", "select", 5, 99), said("ada", "deselect", 2, 100),
		}, 0, "ada led until 1ms after bob had begun to"},
		{"two to the end", []record{said("ada", "select", 2, 0), said("bob", "select", 5, 99)}, 0, "ada led until"},
		{"a token that does not grow", []record{
			said("ada", "select", 5, 0), said("ada", "deselect", 5, 1), said("bob", "select", 5, 2),
		}, 0, "bob has token 5, which is not larger than token 5 of ada before it"},
		{"a process that just ended", []record{
			said("ada", "select", 2, 0), said("ada", ended, 0, 10), said("ada", "select", 3, 12),
		}, 2 * time.Millisecond, ""},
	}
	for _, test := range tests {
		j := newJournal()
		for _, r := range test.records {
			j.add(r)
		}
		closest, err := judge(j.terms())
		if test.wrong == "" && (err != nil || closest != test.closest) {
			t.Errorf("%s: %v, %v", test.name, closest, err)
		}
		var wrong *BrokenError
		if test.wrong != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestAwait(t *testing.T) {
	j := newJournal()
	j.add(record{who: "ada", Kind: ended, Cause: "exit status 0"})
	mark := j.len()
	go func() {
		j.add(record{who: "bob", Kind: "select"})
		j.add(record{who: "ada", Kind: "select", Token: 7})
		j.add(record{who: "ada", Kind: failed, Cause: "exit status 69"})
	}()
	if r, err := j.of(t.Context(), mark, "ada", "select"); err != nil || r.Token != 7 {
		t.Errorf("await: %v, %v", r, err)
	}
	for _, from := range []int{mark, mark + 3} {
		_, err := j.of(t.Context(), from, "bob", "deselect")
		if err == nil || !strings.Contains(err.Error(), "ada has ended by itself: exit status 69") {
			t.Errorf("await while another one has failed: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newJournal().of(ctx, 0, "cleo", "select"); !errors.Is(err, context.Canceled) {
		t.Errorf("await when interrupted: %v", err)
	}
}

func TestStory(t *testing.T) {
	var b bytes.Buffer
	s := newStory(&b, func(err error) { t.Error(err) })
	s.act(t.Context(), "Title", "One.\nTwo.")
	s.caused(s.start.Add(time.Second), "ada", "goes")
	s.line(s.start.Add(1002*time.Millisecond), "bob", "comes")
	s.line(s.start.Add(3500*time.Millisecond), "cleo", "stays")
	want := `
1. Title
   One.
   Two.
   1.00 s           ·  ada   goes
   1.00 s     +2.0 ms  bob   comes
   3.50 s     +2.50 s  cleo  stays
`
	if b.String() != want {
		t.Errorf("got:%s\nwant:%s", b.String(), want)
	}
	for d, want := range map[time.Duration]string{
		90 * time.Microsecond: "0.1 ms", 12 * time.Millisecond: "12 ms", 2350 * time.Millisecond: "2.35 s",
	} {
		if got := figure(d); got != want {
			t.Errorf("figure(%v) = %q, want %q", d, got, want)
		}
	}
}
