package test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/test/sim"
)

// A check that fails now and then ends no term when three must fail in a row, and three that do end one.
func TestCheckFailures(t *testing.T) {
	sim.InArena(t, 4*time.Second, 0, func(a *sim.Arena) {
		var calls atomic.Int32
		var ill atomic.Bool
		m := a.Join("n", locked.NodeConfig{CheckFailures: 3, Check: func(context.Context) error {
			if n := calls.Add(1); ill.Load() || n%3 != 1 { // two of three fail
				return errors.New("no disk")
			}
			return nil
		}})
		m.Start()
		first := a.AwaitLeader().Node.Token()
		time.Sleep(time.Minute)
		if got := m.Node.Token(); got != first {
			a.T.Errorf("after %d checks, of which no three in a row have failed, the token is %d, want %d", calls.Load(), got, first)
		}
		before := calls.Load()
		ill.Store(true)
		a.Await("the end of the term", func() bool { return !m.Node.IsSelected() })
		if n := a.Causes()[locked.ErrUnhealthy.Error()]; n != 1 {
			a.T.Errorf("the terms ended for %v, want %v once", a.Causes(), locked.ErrUnhealthy)
		}
		if failed := calls.Load() - before; failed > 3 {
			a.T.Errorf("it ended after %d checks that failed", failed)
		}
		ill.Store(false) // one that passes is enough
		a.Await("another term", func() bool { return m.Node.Token() > first })
	})
}
