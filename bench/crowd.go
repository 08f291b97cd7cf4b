package main

import (
	"context"
	"fmt"
	"time"
)

// crowd is very many candidates for one path, in several processes.
type throng struct {
	*contender
	e       *etcd
	workers []*process
	elected chan leads
	leader  leads
}

// leads says who was elected, and in which process.
type leads struct {
	worker int
	message
}

// crowd makes the leader of a crowd resign, and then kills processes whose candidate leads.
func crowd(ctx context.Context, b *bench) error {
	processes := b.pick(20, 5)
	each := b.size("%crowd") / processes
	handovers, crashes := b.pick(100, 20), b.pick(10, 2)
	return b.alone(ctx, func(ctx context.Context, e *etcd, c *contender) error {
		t := &throng{contender: c, e: e, elected: make(chan leads, processes*each)}
		for i := range processes {
			w, err := c.worker(ctx, failoverTTL, 1, func(m message) { t.elected <- leads{i, m} })
			if err != nil {
				return err
			}
			b.cleanup(w.Kill)
			t.workers = append(t.workers, w)
			if _, err := w.ask(ctx, request{Do: "campaign", Path: "/crowd", ID: fmt.Sprintf("%d-", i), N: each}); err != nil {
				return err
			}
		}
		if err := b.quiet(ctx, e, c, "/crowd"); err != nil {
			return err
		}
		if _, err := t.next(ctx, time.Now()); err != nil {
			return err
		}
		if err := t.handovers(ctx, b, handovers); err != nil {
			return err
		}
		return t.crashes(ctx, b, crashes)
	})
}

// next waits for the next leader, and gives how long it took.
func (t *throng) next(ctx context.Context, since time.Time) (float64, error) {
	select {
	case t.leader = <-t.elected:
		if t.leader.Err != "" {
			return 0, fmt.Errorf("%s: %s", t.leader.ID, t.leader.Err)
		}
		return time.Duration(t.leader.At - since.UnixNano()).Seconds(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (t *throng) handovers(ctx context.Context, b *bench, n int) error {
	var p pair
	spent := 0.0
	defer func() { // what there is, if it is given up
		if len(p.ours) > 0 && len(p.ours) < n {
			b.results.set(b.row("crowd-handover"), t.Name, p.ours, p.floor, fmt.Sprintf("given up after %d handovers of %d", len(p.ours), n))
		}
	}()
	for range n {
		least, err := timed(func() error { return hearing(ctx, t.floor) })
		if err != nil {
			return err
		}
		before, err := t.e.figures(ctx)
		if err != nil {
			return err
		}
		begun, resigned := time.Now(), make(chan error, 1)
		go func() {
			_, err := t.workers[t.leader.worker].ask(ctx, request{Do: "resign", ID: t.leader.ID})
			resigned <- err
		}()
		leader := t.leader
		took, err := t.next(ctx, begun)
		if err == nil {
			err = <-resigned
		}
		if err != nil {
			return fmt.Errorf("after %s: %w", leader.ID, err)
		}
		after, err := t.e.figures(ctx)
		if err != nil {
			return err
		}
		spent += after["commits"] - before["commits"]
		p.keep(took, least)
	}
	b.results.set(b.row("crowd-handover"), t.Name, p.ours, p.floor, "")
	t.commits(b, "crowd-commits", spent/float64(n))
	return nil
}

// crashes kills the leader's process again and again. Those of its candidates that wait die with it.
func (t *throng) crashes(ctx context.Context, b *bench, n int) error {
	var samples []float64
	before, err := t.e.figures(ctx)
	if err != nil {
		return err
	}
	for range n {
		begun := time.Now()
		t.workers[t.leader.worker].Kill()
		took, err := t.next(ctx, begun)
		if err != nil {
			return err
		}
		samples = append(samples, took)
	}
	after, err := t.e.figures(ctx)
	if err != nil {
		return err
	}
	b.results.set(b.row("crowd-crash"), t.Name, samples, nil, "")
	t.commits(b, "crowd-crash-commits", (after["commits"]-before["commits"])/float64(n))
	return nil
}

func (t *throng) commits(b *bench, key string, v float64) {
	if t.Store == "etcd" {
		b.scalar(t.contender, key, v)
	} else {
		b.none(t.contender, "counted on etcd only", key)
	}
}
