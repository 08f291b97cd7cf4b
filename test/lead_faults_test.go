package test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/hitch"
	"github.com/samcday/locked/test/sim"
)

// stubborn is a guarded function that does not care for its context.
func stubborn(began chan<- *locked.Term, release <-chan struct{}) func(context.Context, *locked.Term) error {
	return func(_ context.Context, term *locked.Term) error {
		began <- term
		<-release
		return nil
	}
}

// Law 11: a Lead whose Locker was closed returns when its work has, though Close did not wait for that.
func TestLeadReturnsAfterClose(t *testing.T) {
	s := server(t, etcdserver.Config{})
	l, err := locked.New(s.Endpoint(), testOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	began, release := make(chan *locked.Term, 1), make(chan struct{})
	done := lead(t.Context(), node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Second}), stubborn(began, release))
	within(t, began, "the term")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if err := l.Close(t.Context()); !errors.Is(err, locked.ErrClosed) {
		t.Errorf("Close, after one that gave up: %v", err)
	}
	close(release)
	within(t, done, "Lead")
}

// A Lead that winds down after a Stop does not touch the run of the node that came after it.
func TestOldLeadLeavesNewRunAlone(t *testing.T) {
	s := server(t, etcdserver.Config{})
	l, loop := lockerWithLoop(t, s.Endpoint())
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	began, release := make(chan *locked.Term, 1), make(chan struct{})
	done := lead(ctx, n, stubborn(began, release))
	within(t, began, "the term")
	short, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	if err := n.Stop(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	eventually(t, "the work is given up on", func() bool { return l.Stats().Overdue == 1 })
	cancel()
	started := make(chan error, 1)
	go func() { started <- n.Start(t.Context()) }()
	eventually(t, "the start to wait", func() bool {
		waits := make(chan bool, 1)
		loop(func() { waits <- look(n, "next").Len() == 1 })
		return <-waits
	})
	close(release)
	within(t, done, "Lead")
	if err := within(t, started, "Start"); err != nil {
		t.Error(err)
	}
	eventually(t, "the new run leads", n.IsSelected)
}

// Work that goes on after a transfer that nobody waits for any more is given up on once.
func TestHungWorkIsGivenUpOnOnce(t *testing.T) {
	s := server(t, etcdserver.Config{})
	hitch.Try(t, func(int) error {
		if !transferFromHungWork(t, locker(t, s.Endpoint())) {
			return errors.New("the term ended before the transfer")
		}
		return nil
	})
}

// transferFromHungWork reports whether the term lasted until a transfer ended it.
func transferFromHungWork(t *testing.T, l *locked.Locker) bool {
	a, b := node(t, l, "/a", locked.NodeConfig{ID: "a", Value: "v", TTL: time.Second}), node(t, l, "/a", locked.NodeConfig{ID: "b", Value: "v", TTL: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	began, release := make(chan *locked.Term, 1), make(chan struct{})
	done := lead(ctx, a, stubborn(began, release))
	term := within(t, began, "the term")
	events := b.Events(t.Context())
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	transferred := transferUnheeded(l, term, "b")
	for pings := 0; pings < 3; { // for more than a TTL after it was given up on
		if e := within(t, events, "a ping"); e.Kind == locked.EventPing && b.IsSelected() {
			pings++
		}
	}
	if n := l.Stats().Overdue; n != 1 {
		t.Errorf("given up on %d times", n)
	}
	close(release)
	cancel()
	within(t, done, "Lead")
	stop(t, b)
	return transferred
}

// The value of a node whose check fails is set for when it enters again.
func TestSetValueOfUnfitNode(t *testing.T) {
	s := server(t, etcdserver.Config{})
	l := locker(t, s.Endpoint())
	ill := make(chan struct{})
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Second, Check: func(context.Context) error {
		select {
		case <-ill:
			return errors.New("no disk")
		default:
			return nil
		}
	}})
	events := n.Events(t.Context())
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(ill)
	for e := within(t, events, "vacant"); e.Kind != locked.EventVacant || e.Revision == 1; e = within(t, events, "vacant") {
	}
	if err := n.SetValue(patient(t), "w"); err != nil {
		t.Error(err)
	}
}

// Lead waits while etcd does not answer, and for a check, also when that passes and fails again meanwhile.
func TestLeadWaitsForAnUnsteadyCheck(t *testing.T) {
	sim.InArena(t, 3*time.Second, 0, func(a *sim.Arena) {
		var ill atomic.Bool
		m := a.Join("n", locked.NodeConfig{Check: func(context.Context) error {
			if ill.Load() {
				return errors.New("no disk")
			}
			return nil
		}})
		m.Link.Cut()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := make(chan *locked.Term, 1)
		done := lead(ctx, m.Node, work(began))
		time.Sleep(locked.DefaultRequestTimeout * 3 / 2)
		ill.Store(true)
		time.Sleep(locked.DefaultRequestTimeout * 2)
		ill.Store(false)
		m.Link.Heal()
		select {
		case <-began:
			cancel()
			<-done
		case err := <-done:
			a.T.Errorf("Lead has returned: %v", err)
		}
	})
}

// A transfer that etcd does not answer in time says so, and not that the caller's own time is over.
func TestTransferUnanswered(t *testing.T) {
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		a.AwaitSettled()
		m := a.Leader()
		for _, request := range []sim.Matcher{sim.ByMethod("LeaseGrant"), sim.IsWrite} {
			slow := m.Link.Slow(request, 2*locked.DefaultRequestTimeout)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := m.Locker.Transfer(ctx, a.Path, "")
			cancel()
			slow.Off()
			if !errors.Is(err, locked.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
				a.T.Errorf("%v, want %v", err, locked.ErrUnreachable)
			}
			a.AwaitSettled()
		}
	})
}

// Law 11: a transfer ends with its context, though etcd does not answer when the request is taken back.
func TestTransferEndsWithItsContext(t *testing.T) {
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		a.AwaitSettled()
		m := a.Leader()
		write, revoke := m.Link.Slow(sim.IsWrite, time.Minute), m.Link.Slow(sim.ByMethod("LeaseRevoke"), time.Minute)
		begin, limit := a.Now(), 2*time.Second
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := m.Locker.Transfer(ctx, a.Path, "")
		if took := a.Now() - begin; !errors.Is(err, context.DeadlineExceeded) || took > limit+limit/10 {
			a.T.Errorf("%v after %v, want the error of the context after %v", err, took, limit)
		}
		if write.Hits() != 1 || revoke.Hits() != 1 {
			a.T.Errorf("%d puts and %d revocations were held up, want one of each", write.Hits(), revoke.Hits())
		}
	})
}

// A check that ends its goroutine, as a failed assertion in it would, has failed; it is called again.
func TestCheckThatEndsItsGoroutine(t *testing.T) {
	sim.InArena(t, 5*time.Second, 0, func(a *sim.Arena) {
		var calls atomic.Int32
		m := a.Join("n", locked.NodeConfig{Check: func(context.Context) error {
			if calls.Add(1) == 2 {
				runtime.Goexit()
			}
			return nil
		}})
		m.Start()
		first := a.AwaitLeader().Node.Token()
		a.Await("another term", func() bool { return m.Node.Token() > first })
		if ends := a.Causes(); ends[locked.ErrUnhealthy.Error()] != 1 {
			a.T.Errorf("the terms ended for %v, want %v once", ends, locked.ErrUnhealthy)
		}
	})
}
