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
	inArena(t, 3*time.Second, 0, func(a *arena) {
		var ill atomic.Bool
		m := a.join("n", locked.NodeConfig{Check: func(context.Context) error {
			if ill.Load() {
				return errors.New("no disk")
			}
			return nil
		}})
		m.link.cut()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := make(chan *locked.Term, 1)
		done := lead(ctx, m.node, work(began))
		time.Sleep(locked.DefaultRequestTimeout * 3 / 2)
		ill.Store(true)
		time.Sleep(locked.DefaultRequestTimeout * 2)
		ill.Store(false)
		m.link.heal()
		select {
		case <-began:
			cancel()
			<-done
		case err := <-done:
			a.t.Errorf("Lead has returned: %v", err)
		}
	})
}

// A transfer that etcd does not answer in time says so, and not that the caller's own time is over.
func TestTransferUnanswered(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		a.startAll()
		a.settled()
		m := a.leader()
		for _, request := range []matcher{byMethod("LeaseGrant"), isWrite} {
			slow := m.link.slow(request, 2*locked.DefaultRequestTimeout)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := m.locker.Transfer(ctx, a.path, "")
			cancel()
			slow.off()
			if !errors.Is(err, locked.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
				a.t.Errorf("%v, want %v", err, locked.ErrUnreachable)
			}
			a.settled()
		}
	})
}

// Law 11: a transfer ends with its context, though etcd does not answer when the request is taken back.
func TestTransferEndsWithItsContext(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		a.startAll()
		a.settled()
		m := a.leader()
		write, revoke := m.link.slow(isWrite, time.Minute), m.link.slow(byMethod("LeaseRevoke"), time.Minute)
		begin, limit := a.now(), 2*time.Second
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := m.locker.Transfer(ctx, a.path, "")
		if took := a.now() - begin; !errors.Is(err, context.DeadlineExceeded) || took > limit+limit/10 {
			a.t.Errorf("%v after %v, want the error of the context after %v", err, took, limit)
		}
		if write.hit() != 1 || revoke.hit() != 1 {
			a.t.Errorf("%d puts and %d revocations were held up, want one of each", write.hit(), revoke.hit())
		}
	})
}

// A check that ends its goroutine, as a failed assertion in it would, has failed; it is called again.
func TestCheckThatEndsItsGoroutine(t *testing.T) {
	inArena(t, 5*time.Second, 0, func(a *arena) {
		var calls atomic.Int32
		m := a.join("n", locked.NodeConfig{Check: func(context.Context) error {
			if calls.Add(1) == 2 {
				runtime.Goexit()
			}
			return nil
		}})
		m.start()
		first := a.awaitLeader().node.Token()
		a.await("another term", func() bool { return m.node.Token() > first })
		if ends := a.causes(); ends[locked.ErrUnhealthy.Error()] != 1 {
			a.t.Errorf("the terms ended for %v, want %v once", ends, locked.ErrUnhealthy)
		}
	})
}
