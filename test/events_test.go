package test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Everybody is told at least every half TTL that the leader is alive, the leader also that its lease was renewed.
func TestPings(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{})
	const ttl = 2 * time.Second
	l := locker(t, e.Endpoint())
	a, b := candidateFor(t, l, "/p", "a", ttl), candidateFor(t, locker(t, e.Endpoint()), "/p", "b", ttl)
	neighbour := candidateFor(t, l, "/other", "neighbour", ttl)
	ea, eb, en := listen(t, a), listen(t, b), listen(t, neighbour)
	eo := observe(t, locker(t, e.Endpoint(), locked.WithTTL(ttl)), "/p")
	start(t, a, b, neighbour)
	stop(t, candidate(t, l, "/gone", "x")) // closing one watch does not disturb the others
	for _, kind := range []locked.Kind{locked.EventPing, locked.EventRefresh} {
		for _, events := range []*listener{ea, eb, en, eo} {
			if kind == locked.EventRefresh && (events == eb || events == eo) {
				continue
			}
			for range 5 {
				if ev := events.await(kind); ev.Value != "value of "+ev.ID || ev.Token == 0 || ev.Revision == 0 {
					t.Error(events.name, ev)
				}
			}
			if gap := usualGap(events, kind); gap > ttl/2+lateness {
				t.Errorf("%s hears a %s only every %v", events.name, kind, gap)
			}
			events.rewind()
		}
	}
	if eb.count(locked.EventRefresh) > 0 && eb.count(locked.EventSelect) == 0 || eo.count(locked.EventRefresh) > 0 {
		t.Error("one that does not lead is told of a refresh")
	}
}

// lateness is how much later a busy machine may do what is due.
const lateness = 200 * time.Millisecond

// usualGap is the time between two events of a kind when nothing holds them up: three in four may be late when the machine
// is busy.
func usualGap(l *listener, kind locked.Kind) time.Duration {
	var gaps []time.Duration
	var last time.Time
	for _, e := range l.soFar() {
		if e.Kind != kind {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, e.At.Sub(last))
		}
		last = e.At
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/4]
}

// Pings go on while another election of the same Locker is in trouble.
func TestPingsBesideTrouble(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l, loop := lockerWithLoop(t, e.Endpoint())
	n := candidateFor(t, l, "/p", "n", time.Second)
	events := listen(t, n)
	start(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 7 {
		loop(func() { look(l, "watches", "current").SetZero() }) // as a watch that breaks does
		listenTo(t, "other", l.Watch(ctx, "/other")).await(locked.EventVacant)
		events.await(locked.EventPing)
	}
	if gap := usualGap(events, locked.EventPing); gap > time.Second/2+lateness {
		t.Error("a ping only every", gap)
	}
}

// Law 9: a subscriber that does not receive delays nobody; when it does receive it is told the latest, in order, and
// select and deselect alternate.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	a, b := candidate(t, l, "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	slow, slowObserver := a.Events(t.Context()), l.Watch(t.Context(), "/p")
	quick := listen(t, a)
	const rounds = 40
	for i := range rounds {
		start(t, a)
		quick.await(locked.EventSelect)
		for j := range 3 {
			if err := a.SetValue(patient(t), fmt.Sprint(i, j)); err != nil {
				t.Fatal(err)
			}
		}
		start(t, b)
		stop(t, a)
		start(t, a)
		stop(t, b)
		quick.await(locked.EventSelect)
		if i < rounds-1 {
			stop(t, a)
			quick.await(locked.EventDeselect)
		}
	}
	quick.rewind()
	if n := quick.count(locked.EventSelect); n != 2*rounds {
		t.Errorf("one that receives was told of %d selects, want %d", n, 2*rounds)
	}
	for name, c := range map[string]<-chan locked.Event{"slow": slow, "slow observer": slowObserver} {
		late := listenTo(t, name, c)
		late.await(locked.EventChange, of("a"), func(ev locked.Event) bool { return ev.Token == a.Token() })
		if name == "slow" {
			late.rewind()
			late.await(locked.EventSelect, func(ev locked.Event) bool { return ev.Token == a.Token() })
		}
		if n := len(late.soFar()); n > 2*64 {
			t.Errorf("%s was told %d events", name, n)
		}
	}
}

// A subscription begins with the state as it is, and ends with its context.
func TestSubscriptionBeginsAndEnds(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	a, b := candidate(t, l, "/p", "a"), candidate(t, l, "/p", "b")
	start(t, a, b)
	listen(t, a).await(locked.EventSelect)
	for what, tt := range map[string]struct {
		events func(context.Context) <-chan locked.Event
		want   []locked.Kind
	}{
		"the leader":       {a.Events, []locked.Kind{locked.EventChange, locked.EventSelect}},
		"one that waits":   {b.Events, []locked.Kind{locked.EventChange}},
		"one that stands":  {candidate(t, l, "/p", "c").Events, []locked.Kind{locked.EventChange}},
		"an observer":      {func(ctx context.Context) <-chan locked.Event { return l.Watch(ctx, "/p") }, []locked.Kind{locked.EventChange}},
		"an observer afar": {func(ctx context.Context) <-chan locked.Event { return locker(t, e.Endpoint()).Watch(ctx, "/p") }, []locked.Kind{locked.EventChange}},
		"nobody's":         {func(ctx context.Context) <-chan locked.Event { return l.Watch(ctx, "/q") }, []locked.Kind{locked.EventVacant}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		events := tt.events(ctx)
		for _, kind := range tt.want {
			select {
			case ev := <-events:
				if ev.Kind != kind || kind != locked.EventVacant && (ev.ID != "a" || ev.Token != a.Token()) {
					t.Errorf("%s is first told %v, want %v", what, ev, kind)
				}
			case <-time.After(soon):
				t.Errorf("%s is not told %v", what, kind)
			}
		}
		cancel()
		for end := time.After(soon); ; {
			select {
			case _, ok := <-events:
				if ok {
					continue
				}
			case <-end:
				t.Errorf("the events of %s do not end", what)
			}
			break
		}
		ended := tt.events(ctx) // of a context that has ended: nothing but the state, if anything
		for range ended {
		}
	}
}

// Events go on through stops and starts of their node.
func TestEventsOutliveRuns(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a, b := candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	events := listen(t, a)
	events.await(locked.EventVacant)
	start(t, b)
	events.await(locked.EventChange, of("b"))
	start(t, a)
	stop(t, a)
	stop(t, b)
	events.await(locked.EventVacant)
	start(t, a)
	events.await(locked.EventSelect)
	stop(t, a)
	events.await(locked.EventDeselect)
	events.await(locked.EventVacant)
	start(t, b)
	events.await(locked.EventChange, of("b"))
	if a.ID() != "b" {
		t.Error("the one that listens knows", a.Leader())
	}
}

// An event is one line for people, and an object with the same words for programs.
func TestEventForms(t *testing.T) {
	at := time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		event      locked.Event
		line, json string
	}{
		{
			locked.Event{Kind: locked.EventChange, Path: "/p", ID: "a", Value: "v\n", Token: 7, Revision: 8, At: at},
			`change /p: a = "v\n" (token 7)`,
			`{"kind":"change","path":"/p","id":"a","value":"v\n","token":7,"revision":8,"at":"2026-11-23T15:04:05Z"}`,
		},
		{
			locked.Event{Kind: locked.EventVacant, Path: "/p", Revision: 9, At: at},
			`vacant /p (revision 9)`,
			`{"kind":"vacant","path":"/p","revision":9,"at":"2026-11-23T15:04:05Z"}`,
		},
		{
			locked.Event{Kind: locked.EventDeselect, Path: "/p", ID: "a", Value: "v", Token: 7, Cause: locked.ErrExpired, At: at},
			`deselect /p: locked: not renewed in time`,
			`{"kind":"deselect","path":"/p","id":"a","value":"v","token":7,"cause":"locked: not renewed in time","at":"2026-11-23T15:04:05Z"}`,
		},
	} {
		if got := tt.event.String(); got != tt.line {
			t.Errorf("%s, want %s", got, tt.line)
		}
		if got, err := json.Marshal(tt.event); err != nil || string(got) != tt.json {
			t.Errorf("%s, want %s: %v", got, tt.json, err)
		}
	}
	if got := locked.Kind(99).String(); got != "unknown" {
		t.Error(got)
	}
}
