package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/samcday/locked/bench/systems"
)

// observers is from a change of leader until all who observe the path know. Its floor is etcd's own fan-out: a put, and as
// many watches of that key, which are on the connections of a process of their own too.
func observers(ctx context.Context, b *bench) error {
	for i, size := range []struct{ n, clients int }{{1, 1}, {100, 1}, {10_000, 1}, {500, 500}} {
		err := observe(ctx, b, b.current.rows[i], size.n, size.clients)
		if b.clean(); err != nil {
			return fmt.Errorf("%d on %d connections: %w", size.n, size.clients, err)
		}
	}
	return nil
}

// audience is a process full of observers.
type audience struct {
	*contender
	told  chan message
	relay *relay
}

func observe(ctx context.Context, b *bench, r row, n, clients int) error {
	e, all, err := b.contenders(ctx)
	if err != nil {
		return err
	}
	watch, err := b.audience(ctx, &contender{System: systems.EtcdWatch, endpoint: e.endpoint}, n, clients)
	if err != nil {
		return err
	}
	client, err := b.client(e)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(c *contender) bool {
		if c.Store != "etcd" { // there is no floor to compare them with
			b.results.set(r, c.Name, nil, nil, "not on etcd")
		}
		return c.Store != "etcd"
	})
	audiences := map[*contender]*audience{}
	ready := b.prepared(ctx, all, func(ctx context.Context, c *contender) error {
		relay, err := b.relay(ctx, c) // first: etcd's Observe waits for somebody to lead
		if err != nil {
			return err
		}
		if audiences[c], err = b.audience(ctx, c, n, clients); err == nil {
			audiences[c].relay = relay
		}
		return err
	})
	o := course{rounds: b.pick(50, 10), limit: time.Minute, peers: time.Duration(b.pick(60, 12)) * time.Second}
	_, err = b.rounds(ctx, o, r, ready, func(ctx context.Context, i int, c *contender, p *pair) error {
		id := fmt.Sprintf("%s %d", c.Name, i)
		least, err := watch.hears(ctx, id, func() error {
			_, err := client.Put(ctx, watch.path("relay"), id)
			return err
		})
		if err != nil {
			return err
		}
		took, err := audiences[c].handover(ctx)
		if err == nil {
			p.keep(took, least)
		}
		return err
	})
	return err
}

// audience starts the observers.
func (b *bench) audience(ctx context.Context, c *contender, n, clients int) (*audience, error) {
	a := &audience{contender: c, told: make(chan message, 16)}
	w, err := c.worker(ctx, latencyTTL, clients, func(m message) { a.told <- m })
	if err != nil {
		return nil, err
	}
	b.cleanup(w.Kill)
	_, err = w.ask(ctx, request{Do: "observe", Path: c.path("relay"), N: n})
	return a, err
}

// handover changes the leader, and is over when everybody in the audience knows.
func (a *audience) handover(ctx context.Context) (float64, error) {
	if err := a.relay.queue(ctx); err != nil {
		return 0, err
	}
	time.Sleep(settling)
	var settle func() error
	took, err := a.hears(ctx, fmt.Sprint(a.relay.n), func() (err error) {
		settle, err = a.relay.pass(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return took, settle()
}

// hears times from a cause until everybody knows.
func (a *audience) hears(ctx context.Context, id string, cause func() error) (float64, error) {
	begun := time.Now()
	if err := cause(); err != nil {
		return 0, err
	}
	for {
		select {
		case m := <-a.told:
			if m.ID == id {
				return time.Duration(m.At - begun.UnixNano()).Seconds(), nil
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("not everybody knows of %s: %w", id, ctx.Err())
		}
	}
}
