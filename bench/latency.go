package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	latencyTTL = 10 * time.Second
	settling   = 150 * time.Millisecond // longer than any loop in a store that catches up with those who came late
	roundLimit = 30 * time.Second
	arriving   = 10 * time.Millisecond // enough to be in the queue
)

// pair is a system's times and those of its store's floor, taken in turns.
type pair struct{ ours, floor []float64 }

// rounds does something with every contender in turns.
func (b *bench) rounds(ctx context.Context, n int, all []*contender, f func(ctx context.Context, round int, c *contender, p *pair) error) (map[*contender]*pair, error) {
	pairs := map[*contender]*pair{}
	for _, c := range all {
		pairs[c] = &pair{}
	}
	b.steps(n)
	turns := slices.Clone(all)
	for i := range n {
		rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for _, c := range turns {
			ctx, cancel := context.WithTimeout(ctx, roundLimit)
			err := f(ctx, i, c, pairs[c])
			cancel()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		b.step()
	}
	return pairs, nil
}

func (b *bench) keep(r row, pairs map[*contender]*pair) {
	for c, p := range pairs {
		b.results.set(r, c.Name, p.ours, p.floor, "")
	}
}

// add takes a sample after one of the floor. Something is written first, so that neither pays for waking the machine up.
func (p *pair) add(ctx context.Context, f systems.Floor, floor, ours func() error) error {
	if err := hearing(ctx, f); err != nil {
		return err
	}
	least, err := timed(floor)
	if err != nil {
		return err
	}
	took, err := timed(ours)
	if err == nil {
		p.floor, p.ours = append(p.floor, least), append(p.ours, took)
	}
	return err
}

// cold is from nothing to elected.
func cold(ctx context.Context, b *bench) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	all, err := b.contenders(ctx, e)
	if err != nil {
		return err
	}
	pairs, err := b.rounds(ctx, b.pick(100, 20), all, func(ctx context.Context, i int, c *contender, p *pair) error {
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
		return client.Close()
	})
	b.keep(b.current.rows[0], pairs)
	return err
}

// warm is one more election of a process that is elected elsewhere.
func warm(ctx context.Context, b *bench) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	all, err := b.contenders(ctx, e)
	if err != nil {
		return err
	}
	clients := map[*contender]systems.Client{}
	for _, c := range all {
		if clients[c], err = b.leading(ctx, c, c.path("warm")); err != nil {
			return err
		}
	}
	pairs, err := b.rounds(ctx, b.pick(300, 50), all, func(ctx context.Context, i int, c *contender, p *pair) error {
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
	b.keep(b.current.rows[0], pairs)
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

// relay is an election that goes back and forth between two clients.
type relay struct {
	*contender
	clients [2]systems.Client
	leader  systems.Candidate
	next    systems.Candidate
	elected chan error // tells when next is
	n       int
}

func (b *bench) relay(ctx context.Context, c *contender) (r *relay, err error) {
	r = &relay{contender: c, elected: make(chan error, 1)}
	for i := range r.clients {
		if r.clients[i], err = c.Dial(ctx, c.endpoint, latencyTTL); err != nil {
			return nil, err
		}
		b.cleanup(func() { r.clients[i].Close() })
	}
	r.leader, err = r.clients[0].Candidate(c.path("relay"), "0")
	if err != nil {
		return nil, err
	}
	return r, r.leader.Campaign(ctx)
}

// queue makes the next one wait.
func (r *relay) queue(ctx context.Context) (err error) {
	r.n++
	next, err := r.clients[r.n%2].Candidate(r.path("relay"), fmt.Sprint(r.n))
	r.next = next
	ctx = context.WithoutCancel(ctx) // it leads when this round is long over
	go func() { r.elected <- next.Campaign(ctx) }()
	return err
}

// await waits until the next one is elected, however long its library would.
func (r *relay) await(ctx context.Context) error {
	select {
	case err := <-r.elected:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass times the handover from the leader's resignation to the knowledge of the next.
func (r *relay) pass(ctx context.Context, p *pair) error {
	resigned := make(chan error, 1)
	err := p.add(ctx, r.floor, func() error { return hearing(ctx, r.floor) }, func() error {
		go func() { resigned <- r.leader.Resign(ctx) }()
		return r.await(ctx)
	})
	if err == nil {
		err = <-resigned
	}
	r.leader = r.next
	return err
}

// handover is from a leader's resignation to the successor's knowledge that it leads, in another client.
func handover(ctx context.Context, b *bench) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	all, err := b.contenders(ctx, e)
	if err != nil {
		return err
	}
	relays := map[*contender]*relay{}
	for _, c := range all {
		if relays[c], err = b.relay(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	turn := 0
	pairs, err := b.rounds(ctx, b.pick(200, 30), all, func(ctx context.Context, _ int, c *contender, p *pair) error {
		if turn++; turn%len(all) == 1 || len(all) == 1 { // the first of a round
			for _, r := range relays {
				if err := r.queue(ctx); err != nil {
					return err
				}
			}
			time.Sleep(settling)
		}
		return relays[c].pass(ctx, p)
	})
	if err != nil {
		return err
	}
	b.keep(b.current.rows[0], pairs)
	pairs, err = b.rounds(ctx, b.pick(200, 30), all, func(ctx context.Context, _ int, c *contender, p *pair) error {
		if err := relays[c].queue(ctx); err != nil {
			return err
		}
		time.Sleep(arriving)
		return relays[c].pass(ctx, p)
	})
	b.keep(b.current.rows[1], pairs)
	return err
}
