package systems

import (
	"context"
	"time"

	"github.com/samcday/locked"
)

var lockedSystem = &System{Name: Locked, Store: "etcd", Dial: dialLocked}

type lockedClient struct{ l *locked.Locker }

func dialLocked(_ context.Context, endpoint string, ttl time.Duration) (Client, error) {
	l, err := locked.New(endpoint, locked.WithTTL(ttl), locked.WithRequestTimeout(time.Minute)) // many starts at once take turns
	return lockedClient{l}, err
}

func (c lockedClient) Candidate(path, id string) (Candidate, error) {
	n, err := c.l.Node(path, locked.NodeConfig{ID: id, Value: "v"})
	return lockedCandidate{n}, err
}

func (c lockedClient) Observe(ctx context.Context, path string, told func(string)) error {
	events := c.l.Watch(ctx, path)
	first := <-events
	go func() {
		for e := first; e.Kind != 0; e = <-events {
			if e.Kind == locked.EventChange {
				told(e.ID)
			}
		}
	}()
	return ctx.Err()
}

func (c lockedClient) Close() error { return c.l.Close(context.Background()) }

type lockedCandidate struct{ *locked.Node }

// Campaign listens only if it has to wait: what Events tells begins with the state as it is.
func (c lockedCandidate) Campaign(ctx context.Context) error {
	if err := c.Start(ctx); err != nil || c.IsSelected() {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for e := range c.Events(ctx) {
		if e.Kind == locked.EventSelect {
			return nil
		}
	}
	return ctx.Err()
}

func (c lockedCandidate) Resign(ctx context.Context) error { return c.Stop(ctx) }
