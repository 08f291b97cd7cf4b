package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/samcday/locked"
)

// listener notes all events of a channel.
type listener struct {
	t    testing.TB
	name string

	mu     sync.Mutex
	events []locked.Event
	wake   chan struct{}

	next int // of the events, to be looked at by await
	done chan struct{}
}

// listen listens to a node until the test ends.
func listen(t testing.TB, n *locked.Node) *listener {
	t.Helper()
	return listenTo(t, n.LocalID(), n.Events(t.Context()))
}

// observe watches a path until the test ends.
func observe(t testing.TB, l *locked.Locker, path string) *listener {
	t.Helper()
	return listenTo(t, "observer of "+path, l.Watch(t.Context(), path))
}

func listenTo(t testing.TB, name string, events <-chan locked.Event) *listener {
	l := &listener{t: t, name: name, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for e := range events {
			l.mu.Lock()
			l.events = append(l.events, e)
			l.mu.Unlock()
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		select {
		case <-l.done:
		case <-time.After(soon):
			t.Error(name, "is still told events after its context has ended")
		}
		l.check()
		if t.Failed() {
			t.Logf("%s was told:%s", name, l)
		}
	})
	return l
}

func (l *listener) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for i, e := range l.events {
		if (e.Kind == locked.EventPing || e.Kind == locked.EventRefresh) && i > 1 && (l.events[i-2].Kind == e.Kind || l.events[i-1].Kind == e.Kind) {
			continue
		}
		fmt.Fprintf(&b, "\n\t%s %d %.300s", e.At.Format("05.000"), e.Revision, e)
	}
	return b.String()
}

// so far gives the events that were noted.
func (l *listener) soFar() []locked.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// await gives the next event of a kind that meets the conditions, and passes over others.
func (l *listener) await(kind locked.Kind, conditions ...func(locked.Event) bool) locked.Event {
	l.t.Helper()
	timeout := time.After(soon)
	for {
		events := l.soFar()
		for l.next < len(events) {
			e := events[l.next]
			l.next++
			if e.Kind == kind && !slices.ContainsFunc(conditions, func(c func(locked.Event) bool) bool { return !c(e) }) {
				return e
			}
		}
		select {
		case <-l.wake:
		case <-l.done:
			if len(l.soFar()) == len(events) {
				l.t.Fatalf("%s was told of no %s until the end", l.name, kind)
			}
		case <-timeout:
			l.t.Fatalf("%s was told of no %s in time", l.name, kind)
		}
	}
}

// rewind makes await begin at the first event again.
func (l *listener) rewind() { l.next = 0 }

func of(id string) func(locked.Event) bool { return func(e locked.Event) bool { return e.ID == id } }

func value(v string) func(locked.Event) bool {
	return func(e locked.Event) bool { return e.Value == v }
}

func because(cause error) func(locked.Event) bool {
	return func(e locked.Event) bool { return e.Cause == cause }
}

func naming(parts ...string) func(locked.Event) bool {
	return func(e locked.Event) bool {
		return e.Cause != nil && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(e.Cause.Error(), p) })
	}
}

// count tells how many events of a kind were noted.
func (l *listener) count(kind locked.Kind) int {
	n := 0
	for _, e := range l.soFar() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// check: law 9, changes come in the order of their revisions, select and deselect alternate, a deselect says why; law 3,
// tokens grow.
func (l *listener) check() {
	var revision, token int64
	selected := false
	for _, e := range l.soFar() {
		wrong := func(what string) { l.t.Errorf("%s was told %v: %s", l.name, e, what) }
		if e.At.IsZero() || e.Path == "" {
			wrong("without time or path")
		}
		switch e.Kind {
		case locked.EventChange, locked.EventVacant:
			if e.Revision <= revision {
				wrong(fmt.Sprintf("at revision %d after %d", e.Revision, revision))
			}
			revision = e.Revision
			if e.Kind == locked.EventChange && e.Token < token {
				wrong("with a smaller token than before")
			}
			token = max(token, e.Token)
		case locked.EventSelect:
			if selected || e.Token == 0 || e.Token < token {
				wrong("selected again, or with an old token")
			}
			selected = true
		case locked.EventDeselect:
			if !selected || e.Cause == nil {
				wrong("deselected without being selected, or without a cause")
			}
			selected = false
		case locked.EventError:
			if e.Cause == nil {
				wrong("without a cause")
			}
		}
	}
}

// believing watches over nodes of one path until the test ends: law 2, at most one of them is selected at any instant.
func believing(t testing.TB, nodes ...*locked.Node) {
	var watching sync.WaitGroup
	end := make(chan struct{})
	watching.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-end:
				return
			}
			for i, a := range nodes {
				for _, b := range nodes[i+1:] {
					// A belief never revives: the first held all the time between the two readings of its token.
					if before := a.Token(); before != 0 && b.IsSelected() && a.Token() == before {
						t.Errorf("%s and %s are selected at the same time", a.LocalID(), b.LocalID())
						return
					}
				}
			}
		}
	})
	t.Cleanup(func() {
		close(end)
		watching.Wait()
	})
}
