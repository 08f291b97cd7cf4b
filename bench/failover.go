package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	failoverTTL   = 3 * time.Second
	failoverLimit = 30 * time.Second // ten times as long as it should take
)

// death is from a leader's SIGKILL, which closes its connections, to the knowledge of the next.
func death(ctx context.Context, b *bench) error {
	return failover(ctx, b, func(c *child) { c.cmd.Process.Kill() })
}

// silence is the same when the leader's process stands still: its connections stay open and nothing comes, as when its
// machine or its network has died.
func silence(ctx context.Context, b *bench) error {
	return failover(ctx, b, func(c *child) { c.cmd.Process.Signal(syscall.SIGSTOP) })
}

// failover measures all systems at once: they do nothing but wait for time to pass.
func failover(ctx context.Context, b *bench, end func(*child)) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	all, err := b.contenders(ctx, e)
	if err != nil {
		return err
	}
	n := b.pick(12, 2)
	b.steps(n)
	samples, failed := make([][]float64, len(all)), make([]error, len(all))
	for round := range n {
		var group sync.WaitGroup
		for i, c := range all {
			if failed[i] != nil {
				continue
			}
			group.Go(func() {
				took, err := c.replace(ctx, c.path(b.current.name, round), end)
				if failed[i] = err; err == nil {
					samples[i] = append(samples[i], took)
				}
			})
		}
		if group.Wait(); ctx.Err() != nil {
			return ctx.Err()
		}
		b.step()
	}
	for i, c := range all {
		why := ""
		if failed[i] != nil {
			why = "failed: " + failed[i].Error()
			if errors.Is(failed[i], context.DeadlineExceeded) {
				why = fmt.Sprintf("once nobody was elected within %v", failoverLimit)
			}
		}
		if why != "" && c.Name == systems.Locked {
			return failed[i]
		}
		b.results.set(b.current.rows[0], c.Name, samples[i], nil, why)
	}
	return nil
}

// replace makes a worker lead, ends it at a moment that is left to chance, and waits for the next.
func (c *contender) replace(ctx context.Context, path string, end func(*child)) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, failoverLimit)
	defer cancel()
	elected := make(chan message, 1)
	w, err := c.worker(ctx, failoverTTL, 1, func(m message) { elected <- m })
	if err != nil {
		return 0, err
	}
	defer w.kill()
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
	defer client.Close()
	next, err := client.Candidate(path, "next")
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- next.Campaign(ctx) }()
	time.Sleep(failoverTTL/3 + rand.N(failoverTTL/3))
	return timed(func() error {
		end(w)
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// worker starts a process that uses the system.
func (c *contender) worker(ctx context.Context, ttl time.Duration, clients int, happened func(message)) (*child, error) {
	return startWorker(ctx, c.System, c.endpoint, ttl, clients, happened)
}

func startWorker(ctx context.Context, s *systems.System, endpoint string, ttl time.Duration, clients int, happened func(message)) (*child, error) {
	w, err := spawn("worker", happened)
	if err != nil {
		return nil, err
	}
	if _, err := w.ask(ctx, request{Do: "dial", System: s.Name, Endpoint: endpoint, TTL: ttl, Clients: clients}); err != nil {
		w.kill()
		return nil, err
	}
	return w, nil
}
