// Package testhook is how tests in other modules reach what a locker has no public option for: they put it into the context
// of the etcd client that they make the locker from.
package testhook

import (
	"context"

	"github.com/samcday/locked/internal/clock"
)

// Hooks are for one locker.
type Hooks struct {
	Clock     clock.Clock // in place of the system's
	DirectLog bool        // the loop itself calls the log handler, at the very moment of which a record tells
	Loop      func(Loop)  // is given the loop, as soon as it runs
}

// Loop makes the loop of a locker do something.
type Loop func(f func())

type key struct{}

// With gives a context that carries hooks.
func With(ctx context.Context, h Hooks) context.Context { return context.WithValue(ctx, key{}, h) }

// From gives the hooks that a context carries, which are mostly none: then the clock is the system's.
func From(ctx context.Context) Hooks {
	h, _ := ctx.Value(key{}).(Hooks)
	if h.Clock == nil {
		h.Clock = clock.System{}
	}
	return h
}
