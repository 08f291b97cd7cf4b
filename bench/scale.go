package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/bench/systems"
	"github.com/samcday/locked/internal/clock"
)

// side is a process of which there are many candidates, and how many of them are elected.
type side struct {
	*process
	elected chan message
	empty   map[string]float64 // its figures before it did anything
}

func (b *bench) side(ctx context.Context, c *contender, n int) (*side, error) {
	s := &side{elected: make(chan message, n)}
	w, err := c.worker(ctx, latencyTTL, 1, func(m message) { s.elected <- m })
	if err != nil {
		return nil, err
	}
	b.cleanup(w.Kill)
	s.process = w
	s.empty, err = s.figures(ctx)
	return s, err
}

func (s *side) figures(ctx context.Context) (map[string]float64, error) {
	m, err := s.ask(ctx, request{Do: "figures"})
	return m.Figures, err
}

// await waits until so many more are elected, and gives the time of the last.
func (s *side) await(ctx context.Context, n int, each func()) (last time.Time, err error) {
	for range n {
		select {
		case m := <-s.elected:
			if m.Err != "" {
				return last, fmt.Errorf("%s: %s", m.ID, m.Err)
			}
			last = time.Unix(0, m.At)
			each()
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
	return last, nil
}

// per is how much a figure of the process has grown, for each of n.
func (s *side) per(figures map[string]float64, name string, n int) []float64 {
	return []float64{(figures[name] - s.empty[name]) / float64(n)}
}

// scale has very many elections led by one process, and candidates for all of them in another.
func scale(ctx context.Context, b *bench) error {
	return b.alone(ctx, func(ctx context.Context, e *etcd, c *contender) error {
		return b.crowded(ctx, e, c, b.size("%scale"))
	})
}

func (b *bench) crowded(ctx context.Context, e *etcd, c *contender, n int) error {
	leader, err := b.side(ctx, c, n)
	if err != nil {
		return err
	}
	waiter, err := b.side(ctx, c, n)
	if err != nil {
		return err
	}
	before, err := e.figures(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err := leader.ask(ctx, request{Do: "campaign", Path: "/scale", Each: true, ID: "leader-", N: n}); err != nil {
		return err
	}
	last, err := leader.await(ctx, n, func() {})
	if err != nil {
		return err
	}
	b.scalar(c, "scale-enter", last.Sub(begun).Seconds())
	if _, err := waiter.ask(ctx, request{Do: "campaign", Path: "/scale", Each: true, ID: "waiter-", N: n}); err != nil {
		return err
	}
	if err := b.quiet(ctx, e, c, "/scale"); err != nil {
		return err
	}
	if err := b.idle(ctx, e, c, n, before, leader, waiter); err != nil {
		return err
	}
	return b.closing(ctx, e, c, n, leader, waiter)
}

// idle takes the figures of both sides while nothing happens.
func (b *bench) idle(ctx context.Context, e *etcd, c *contender, n int, empty map[string]float64, leader, waiter *side) error {
	before, err := b.all(ctx, e, leader, waiter)
	if err != nil {
		return err
	}
	b.scalar(c, "scale-lead-memory", leader.per(before[0], "memory", n)...)
	b.scalar(c, "scale-lead-goroutines", leader.per(before[0], "goroutines", n)...)
	b.scalar(c, "scale-wait-memory", waiter.per(before[1], "memory", n)...)
	b.scalar(c, "scale-wait-goroutines", waiter.per(before[1], "goroutines", n)...)
	window := time.Duration(b.pick(20, 10)) * time.Second
	if err := rest(ctx, window); err != nil {
		return err
	}
	after, err := b.all(ctx, e, leader, waiter)
	if err != nil {
		return err
	}
	cpu := 0.0
	for i := range after {
		cpu += after[i]["cpu"] - before[i]["cpu"]
	}
	if c.Store == "etcd" {
		b.scalar(c, "scale-idle-requests", (after[2]["requests"]-before[2]["requests"])/window.Seconds())
		b.scalar(c, "scale-commits", (before[2]["commits"]-empty["commits"])/float64(2*n))
		b.scalar(c, "scale-idle-cpu", 100*cpu/window.Seconds())
	} else {
		b.none(c, "counted on etcd only", "scale-idle-requests", "scale-commits", "scale-idle-cpu", "scale-gaps")
	}
	return nil
}

// all gives the figures of the leader, the waiter and etcd.
func (b *bench) all(ctx context.Context, e *etcd, leader, waiter *side) (all [3]map[string]float64, err error) {
	for i, of := range []func(context.Context) (map[string]float64, error){leader.figures, waiter.figures, e.figures} {
		if all[i], err = of(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

// closing times the end of the process that leads, until all is led by the other.
func (b *bench) closing(ctx context.Context, e *etcd, c *contender, n int, leader, waiter *side) error {
	client, err := b.client(e)
	if err != nil {
		return err
	}
	now, err := client.Get(ctx, "/scale")
	if err != nil {
		return err
	}
	begun := time.Now()
	closed := make(chan error, 1)
	go func() {
		_, err := leader.ask(ctx, request{Do: "close"})
		closed <- err
	}()
	last, err := waiter.await(ctx, n, func() {})
	if err != nil {
		return err
	}
	b.scalar(c, "scale-close", last.Sub(begun).Seconds())
	if err := <-closed; err != nil {
		return err
	}
	if c.Name != systems.Locked {
		b.none(c, "it has no key that always names the leader", "scale-gaps")
		return nil
	}
	gaps, err := emptied(ctx, client, now.Header.Revision+1, n)
	b.scalar(c, "scale-gaps", float64(gaps))
	return err
}

// emptied reads the history of n paths and counts how often one of them was deleted. Each is put once.
func emptied(ctx context.Context, client *clientv3.Client, from int64, n int) (gaps int, err error) {
	puts := 0
	for r := range client.Watch(ctx, "/scale/", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if r.Err() != nil {
			return 0, r.Err()
		}
		for _, e := range r.Events {
			switch {
			case strings.Contains(string(e.Kv.Key), ":::"):
			case e.Type == clientv3.EventTypeDelete:
				gaps++
			default:
				puts++
			}
		}
		if puts >= n {
			return gaps, nil
		}
	}
	return gaps, ctx.Err()
}

// quiet waits until the store has all that is on its way to it: on etcd, until the keys stay as they are and few requests
// come.
func (b *bench) quiet(ctx context.Context, e *etcd, c *contender, prefix string) error {
	if c.Store != "etcd" {
		return rest(ctx, 5*time.Second)
	}
	client, err := b.client(e)
	if err != nil {
		return err
	}
	var keys int64
	var requests float64
	for same := 0; same < 3; {
		r, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		figures, err := e.figures(ctx)
		if err != nil {
			return err
		}
		if same++; r.Count != keys || figures["requests"]-requests > 50 {
			same = 0
		}
		keys, requests = r.Count, figures["requests"]
		if err := rest(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// rest lets time pass.
func rest(ctx context.Context, d time.Duration) error {
	clock.Pause(ctx, d)
	return ctx.Err()
}

// many is the largest number that is tried: led by a process, and closed.
func many(ctx context.Context, b *bench) error {
	n := b.size("%many")
	return b.alone(ctx, func(ctx context.Context, _ *etcd, c *contender) error {
		s, err := b.side(ctx, c, n)
		if err != nil {
			return err
		}
		begun := time.Now()
		if _, err := s.ask(ctx, request{Do: "campaign", Path: "/many", Each: true, ID: "leader-", N: n}); err != nil {
			return err
		}
		last, err := s.await(ctx, n, func() {})
		if err != nil {
			return err
		}
		b.scalar(c, "many-enter", last.Sub(begun).Seconds())
		figures, err := s.figures(ctx)
		if err != nil {
			return err
		}
		b.scalar(c, "many-memory", s.per(figures, "memory", n)...)
		took, err := timed(func() error {
			_, err := s.ask(ctx, request{Do: "close"})
			return err
		})
		b.scalar(c, "many-close", took)
		return err
	})
}
