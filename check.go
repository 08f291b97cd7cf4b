package locked

import (
	"context"
	"errors"
	"fmt"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
)

var (
	errCheckTimeout = errors.New("it did not return in time")
	errCheckGone    = errors.New("it has ended its goroutine")
)

// keepChecking calls the node's check at once, and then every half TTL, as long as the node runs.
func (n *Node) keepChecking() {
	ctx, cancel := context.WithCancel(n.l.ctx)
	n.checks = cancel
	n.l.spawn(func() {
		every := election.Period(n.ttl)
		for ctx.Err() == nil {
			result := make(chan error, 1)
			limited, done := context.WithTimeout(ctx, every)
			go func() { // not ours to wait for: it may ignore its context
				err := errCheckGone
				defer func() { result <- err }()
				err = n.check(limited)
			}()
			var err error
			select {
			case err = <-result:
				n.l.post(func() { n.checked(ctx, err) })
			case <-limited.Done():
				n.l.post(func() { n.checked(ctx, errCheckTimeout) })
				select {
				case <-result: // late: the next one is asked
				case <-ctx.Done():
				}
			}
			done()
			clock.Pause(ctx, every)
		}
	})
}

// checked takes the result of a check.
func (n *Node) checked(ctx context.Context, err error) {
	if ctx.Err() != nil || n.stopping {
		return
	}
	switch {
	case err != nil:
		n.failure = fmt.Errorf("%w: %w", ErrUnhealthy, err)
		n.emit(Event{Kind: EventError, Cause: n.failure})
		if !n.unfit {
			n.unfit = true
			n.step(election.Input{What: election.Leave, Cause: election.Unhealthy})
		}
	case n.unfit:
		n.unfit, n.forsaken = false, false
		if n.group.holding.Current == 0 {
			n.group.grant()
		}
		n.step(election.Input{What: election.Enter, Data: n.LocalData()})
	}
}
