package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	failoverTTL   = 3 * time.Second
	failoverLimit = 20 * time.Second // several times as long as it should take
)

// death is from a leader's SIGKILL, which closes its connections, to the knowledge of the next.
func death(ctx context.Context, b *bench) error {
	return failover(ctx, b, func(c *process) { c.Signal(os.Kill) })
}

// silence is the same when the leader's process stands still: its connections stay open and nothing comes, as when its
// machine or its network has died.
func silence(ctx context.Context, b *bench) error {
	return failover(ctx, b, func(c *process) { c.Pause() })
}

// failover measures all systems at once: they do nothing but wait for time to pass.
func failover(ctx context.Context, b *bench, end func(*process)) error {
	_, all, err := b.contenders(ctx)
	if err != nil {
		return err
	}
	o := course{rounds: b.pick(20, 3), limit: failoverLimit, atOnce: true}
	_, err = b.rounds(ctx, o, b.current.rows[0], all, func(ctx context.Context, round int, c *contender, p *pair) error {
		took, err := c.replace(ctx, c.path(b.current.name, round), end)
		if err == nil {
			p.keep(took)
		}
		return err
	})
	return err
}

// replace makes a worker lead, ends it at a moment that is left to chance, and waits for the next.
func (c *contender) replace(ctx context.Context, path string, end func(*process)) (float64, error) {
	elected := make(chan message, 1)
	w, err := c.worker(ctx, failoverTTL, 1, func(m message) { elected <- m })
	if err != nil {
		return 0, err
	}
	defer w.Kill()
	if _, err := w.ask(ctx, request{Do: "campaign", Path: path, ID: "first", N: 1}); err != nil {
		return 0, err
	}
	select {
	case m := <-elected:
		if m.Err != "" {
			return 0, errors.New(m.Err)
		}
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	client, err := c.Dial(ctx, c.endpoint, failoverTTL)
	if err != nil {
		return 0, err
	}
	defer atMost(closing, func() { client.Close() })
	next, err := client.Candidate(path, "next")
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- next.Campaign(ctx) }()
	// Anywhere between two renewals, whatever their interval; but within the TTL, as redsync does not renew.
	time.Sleep(settling + rand.N(failoverTTL*9/10))
	return timed(func() error {
		end(w)
		return <-done
	})
}

// worker starts a process that uses the system.
func (c *contender) worker(ctx context.Context, ttl time.Duration, clients int, happened func(message)) (*process, error) {
	return startWorker(ctx, c.System, c.endpoint, ttl, clients, happened)
}

func startWorker(ctx context.Context, s *systems.System, endpoint string, ttl time.Duration, clients int, happened func(message)) (*process, error) {
	w, err := spawn("worker", happened)
	if err != nil {
		return nil, err
	}
	if _, err := w.ask(ctx, request{Do: "dial", System: s.Name, Endpoint: endpoint, TTL: ttl, Clients: clients}); err != nil {
		w.Kill()
		return nil, err
	}
	return w, nil
}
