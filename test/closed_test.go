package test

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// A closed locker answers every call at once, by ErrClosed or with nothing to do.
func TestClosed(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	n, fresh := candidate(t, l, "/p", "n"), candidate(t, l, "/p", "fresh")
	events, observed := listen(t, n), observe(t, l, "/p")
	start(t, n)
	events.await(locked.EventSelect)
	observed.await(locked.EventChange)
	for range 2 {
		if err := l.Close(patient(t)); err != nil {
			t.Error(err)
		}
	}
	for _, l := range []*listener{events, observed} {
		select {
		case <-l.done:
		default:
			eventually(t, "the events end", func() bool {
				select {
				case <-l.done:
					return true
				default:
					return false
				}
			})
		}
	}
	if events.rewind(); events.await(locked.EventDeselect).Cause != locked.ErrStopped {
		t.Error("deselected for another reason")
	}
	if kvs := e.keys("/p"); len(kvs) != 0 {
		t.Error("left behind:", kvs)
	}
	if leases, err := e.client.Leases(t.Context()); err != nil || len(leases.Leases) != 0 {
		t.Error("left behind:", leases, err)
	}

	for call, err := range map[string]error{
		"Start":             n.Start(t.Context()),
		"Start of another":  fresh.Start(t.Context()),
		"Lead":              n.Lead(t.Context(), func(context.Context, *locked.Term) error { return nil }),
		"SetValue":          n.SetValue(t.Context(), "x"),
		"Leader":            second(l.Leader(t.Context(), "/p")),
		"Candidates":        second(l.Candidates(t.Context(), "/p")),
		"Elections":         second(l.Elections(t.Context(), "/p")),
		"Transfer":          l.Transfer(t.Context(), "/p", ""),
		"Start, no time":    n.Start(ended(t)),
		"SetValue, no time": n.SetValue(ended(t), "x"),
	} {
		if !errors.Is(err, locked.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Error("stop:", err)
	}
	if n.IsSelected() || n.Token() != 0 || n.Remaining() != 0 || n.ID() != "" || n.Leader() != (locked.Leader{}) || n.LocalID() != "n" {
		t.Error(n.IsSelected(), n.Token(), n.Remaining(), n.Leader())
	}
	for what, c := range map[string]<-chan locked.Event{"events": n.Events(t.Context()), "watch": l.Watch(t.Context(), "/p")} {
		select {
		case ev, ok := <-c:
			if ok {
				t.Error(what, ev)
			}
		case <-time.After(soon):
			t.Error(what, "do not end")
		}
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Law 11: calls that run into a Close end, and whoever listens is told so.
func TestCloseRace(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	for range 20 {
		l := locker(t, e.Endpoint())
		done := make(chan string)
		calls := map[string]func(){
			"start": func() {
				n := candidate(t, l, "/p", "n")
				n.Start(t.Context())
				n.SetValue(t.Context(), "x")
				n.Stop(t.Context())
			},
			"leader":     func() { l.Leader(t.Context(), "/p") },
			"candidates": func() { l.Candidates(t.Context(), "/p") },
			"elections":  func() { l.Elections(t.Context(), "/p") },
			"transfer":   func() { l.Transfer(t.Context(), "/p", "") },
			"events": func() {
				for range candidate(t, l, "/p", "m").Events(t.Context()) {
				}
			},
			"watch": func() {
				for range l.Watch(t.Context(), "/q") {
				}
			},
			"close": func() { l.Close(patient(t)) },
		}
		for name, f := range calls {
			go func() {
				f()
				done <- name
			}()
		}
		for end := time.After(soon); len(calls) > 0; {
			select {
			case name := <-done:
				delete(calls, name)
			case <-end:
				t.Fatal("do not end:", calls)
			}
		}
	}
}

// Law 11: when Close returns, a client that the locker was given is as it was before: it works, and nothing of ours runs on
// it. This test is alone.
func TestCloseLeavesClientAlone(t *testing.T) {
	e := server(t, etcdserver.Config{})
	client := dial(t, clientv3.Config{Endpoints: []string{e.Endpoint()}})
	for range 20 {
		if _, err := client.Get(t.Context(), "x"); err != nil { // connected
			t.Fatal(err)
		}
		before := goleak.IgnoreCurrent()
		l, err := locked.NewFromClient(client, testOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		a, b := candidate(t, l, "/p", "a"), candidateFor(t, l, "/q", "b", time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		events, observed := a.Events(ctx), l.Watch(t.Context(), "/p")
		start(t, a, b)
		if e := <-events; e.Kind == locked.EventVacant {
			<-events
		}
		<-observed
		stop(t, b)
		cancel()
		if err := l.Close(patient(t)); err != nil {
			t.Error(err)
		}
		for range observed {
		}
		for range events {
		}
		for end := time.Now().Add(soon); goleak.Find(before) != nil && time.Now().Before(end); { // the server's side may take a while
		}
		goleak.VerifyNone(t, before)
	}
}
