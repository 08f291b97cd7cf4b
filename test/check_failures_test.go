package test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samcday/locked"
)

// A check that fails now and then ends no term when three must fail in a row, and three that do end one.
func TestCheckFailures(t *testing.T) {
	inArena(t, 4*time.Second, 0, func(a *arena) {
		var calls atomic.Int32
		var ill atomic.Bool
		m := a.join("n", locked.NodeConfig{CheckFailures: 3, Check: func(context.Context) error {
			if n := calls.Add(1); ill.Load() || n%3 != 1 { // two of three fail
				return errors.New("no disk")
			}
			return nil
		}})
		m.start()
		first := a.awaitLeader().node.Token()
		time.Sleep(time.Minute)
		if got := m.node.Token(); got != first {
			a.t.Errorf("after %d checks, of which no three in a row have failed, the token is %d, want %d", calls.Load(), got, first)
		}
		before := calls.Load()
		ill.Store(true)
		a.await("the end of the term", func() bool { return !m.node.IsSelected() })
		if n := a.ends[locked.ErrUnhealthy.Error()]; n != 1 {
			a.t.Errorf("the terms ended for %v, want %v once", a.ends, locked.ErrUnhealthy)
		}
		if failed := calls.Load() - before; failed > 3 {
			a.t.Errorf("it ended after %d checks that failed", failed)
		}
		ill.Store(false) // one that passes is enough
		a.await("another term", func() bool { return m.node.Token() > first })
	})
}
