package main

import (
	"context"
	"fmt"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	latencyTTL = 10 * time.Second
	roundLimit = 8 * time.Second // less than a lock of redsync lasts, which must not lapse while another system hangs
)

// cold is from nothing to elected.
func cold(ctx context.Context, b *bench) error {
	_, all, err := b.contenders(ctx)
	if err != nil {
		return err
	}
	_, err = b.rounds(ctx, course{rounds: b.pick(100, 20), limit: roundLimit}, b.current.rows[0], all, func(ctx context.Context, i int, c *contender, p *pair) error {
		var client systems.Client
		var candidate systems.Candidate
		err := p.add(ctx, c.floor, func() error { return hearing(ctx, c.floor) }, func() (err error) {
			if client, err = c.Dial(ctx, c.endpoint, latencyTTL); err != nil {
				return err
			}
			if candidate, err = client.Candidate(c.path("cold", i), "a"); err != nil {
				return err
			}
			return candidate.Campaign(ctx)
		})
		if err != nil {
			return err
		}
		if err := candidate.Resign(ctx); err != nil {
			return err
		}
		return systems.Heed(ctx, client.Close)
	})
	return err
}

// warm is one more election of a process that is elected elsewhere.
func warm(ctx context.Context, b *bench) error {
	_, all, err := b.contenders(ctx)
	if err != nil {
		return err
	}
	clients := map[*contender]systems.Client{}
	ready := b.prepared(ctx, all, func(ctx context.Context, c *contender) (err error) {
		clients[c], err = b.leading(ctx, c, c.path("warm"))
		return err
	})
	_, err = b.rounds(ctx, course{rounds: b.pick(300, 50), limit: roundLimit}, b.current.rows[0], ready, func(ctx context.Context, i int, c *contender, p *pair) error {
		candidate, err := clients[c].Candidate(c.path("warm", i), "a")
		if err != nil {
			return err
		}
		err = p.add(ctx, c.floor, func() error { return c.floor.Put(ctx) }, func() error { return candidate.Campaign(ctx) })
		if err != nil {
			return err
		}
		return candidate.Resign(ctx)
	})
	return err
}

// leading gives a client that leads at a path.
func (b *bench) leading(ctx context.Context, c *contender, path string) (systems.Client, error) {
	client, err := c.Dial(ctx, c.endpoint, latencyTTL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	b.cleanup(func() { client.Close() })
	candidate, err := client.Candidate(path, "first")
	if err == nil {
		err = candidate.Campaign(ctx)
	}
	return client, err
}
