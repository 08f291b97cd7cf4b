package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	latencyTTL = 10 * time.Second
	settling   = 150 * time.Millisecond // longer than any loop in a store that catches up with those who came late
	roundLimit = 8 * time.Second        // less than a lock of redsync lasts, which must not lapse while another system hangs
	arriving   = 10 * time.Millisecond  // enough to be in the queue
)

// pair is a system's times and those of its store's floor, taken in turns.
type pair struct {
	ours, floor []float64
	failed      string // why there are no more
}

// rounds does something with every contender in turns. One that fails is out, and keeps the figures that it has; only
// locked must not.
func (b *bench) rounds(ctx context.Context, n int, all []*contender, f func(ctx context.Context, round int, c *contender, p *pair) error) (map[*contender]*pair, error) {
	pairs := map[*contender]*pair{}
	for _, c := range all {
		pairs[c] = &pair{}
	}
	b.steps(n)
	turns := slices.Clone(all)
	for i := range n {
		rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for _, c := range slices.Clone(turns) {
			limited, cancel := context.WithTimeout(ctx, roundLimit)
			err := f(limited, i, c, pairs[c])
			cancel()
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil && c.Name == systems.Locked:
				return nil, err
			case err != nil:
				turns = slices.DeleteFunc(turns, func(other *contender) bool { return other == c })
				pairs[c].failed = fmt.Sprintf("failed in round %d: %v", i+1, err)
			}
		}
		b.step()
	}
	return pairs, nil
}

func (b *bench) keep(r row, pairs map[*contender]*pair) {
	for c, p := range pairs {
		b.results.set(r, c.Name, p.ours, p.floor, p.failed)
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
	var ready []*contender
	for _, c := range all {
		if clients[c], err = b.leading(ctx, c, c.path("warm")); err == nil {
			ready = append(ready, c)
		} else if err := b.bear(c.System, err); err != nil {
			return err
		}
	}
	pairs, err := b.rounds(ctx, b.pick(300, 50), ready, func(ctx context.Context, i int, c *contender, p *pair) error {
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
	path    string
	clients [2]systems.Client
	leader  systems.Candidate
	next    systems.Candidate
	elected chan error // tells when next is
	n       int
}

func (b *bench) relay(ctx context.Context, c *contender) (r *relay, err error) {
	r = &relay{path: c.path("relay"), elected: make(chan error, 1)}
	for i := range r.clients {
		if r.clients[i], err = c.Dial(ctx, c.endpoint, latencyTTL); err != nil {
			return nil, err
		}
		b.cleanup(func() { r.clients[i].Close() })
	}
	return r, r.begin(ctx)
}

// beside is another one, at another path, between the same clients.
func (r *relay) beside(ctx context.Context) (*relay, error) {
	other := &relay{path: r.path + "-beside", clients: r.clients, elected: make(chan error, 1)}
	return other, other.begin(ctx)
}

func (r *relay) begin(ctx context.Context) (err error) {
	if r.leader, err = r.clients[0].Candidate(r.path, "0"); err != nil {
		return err
	}
	return r.leader.Campaign(ctx)
}

// queue makes the next one wait.
func (r *relay) queue(ctx context.Context) (err error) {
	r.n++
	next, err := r.clients[r.n%2].Candidate(r.path, fmt.Sprint(r.n))
	r.next = next
	ctx = context.WithoutCancel(ctx) // it leads when this round is long over
	go func() { r.elected <- next.Campaign(ctx) }()
	return err
}

// pass is from the leader's resignation to the knowledge of the next that it leads. What remains to be done then is done by
// settle.
func (r *relay) pass(ctx context.Context) (settle func() error, err error) {
	resigned, leader := make(chan error, 1), r.leader
	go func() { resigned <- leader.Resign(ctx) }()
	r.leader = r.next
	select {
	case err := <-r.elected: // however long its library would wait
		return func() error { return <-resigned }, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// untimed hands over at a path beside: the floor is not cold when it is measured, so the handover must not be either.
func (r *relay) untimed(ctx context.Context) error {
	settle, err := r.pass(ctx)
	if err != nil {
		return err
	}
	return settle()
}

// timed hands over after the floor was measured.
func (r *relay) timed(ctx context.Context, c *contender, p *pair) (err error) {
	var settle func() error
	err = p.add(ctx, c.floor, func() error { return hearing(ctx, c.floor) }, func() (err error) {
		settle, err = r.pass(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return settle()
}

// handover is from a leader's resignation to the successor's knowledge that it leads, in another client. Settled
// successors have waited for a while; fresh ones have just come.
func handover(ctx context.Context, b *bench) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	all, err := b.contenders(ctx, e)
	if err != nil {
		return err
	}
	relays, beside := map[*contender]*relay{}, map[*contender]*relay{}
	var ready []*contender
	for _, c := range all {
		if relays[c], err = b.relay(ctx, c); err == nil {
			beside[c], err = relays[c].beside(ctx)
		}
		if err == nil {
			ready = append(ready, c)
		} else if err := b.bear(c.System, err); err != nil {
			return err
		}
	}
	// All that wait settle together, when a round begins.
	queued, passed := map[*contender]int{}, map[*contender]int{}
	settled, err := b.rounds(ctx, b.pick(200, 30), ready, func(ctx context.Context, round int, c *contender, p *pair) error {
		if queued[c] == round {
			for _, c := range ready {
				if passed[c] != round { // it has failed
					continue
				}
				if err := errors.Join(beside[c].queue(ctx), relays[c].queue(ctx)); err != nil {
					return err
				}
				queued[c]++
			}
			time.Sleep(settling)
		}
		if err := beside[c].untimed(ctx); err != nil {
			return err
		}
		passed[c]++
		return relays[c].timed(ctx, c, p)
	})
	if err != nil {
		return err
	}
	b.keep(b.current.rows[0], settled)
	alive := slices.DeleteFunc(ready, func(c *contender) bool { return settled[c].failed != "" })
	fresh, err := b.rounds(ctx, b.pick(200, 30), alive, func(ctx context.Context, _ int, c *contender, p *pair) error {
		if err := beside[c].queue(ctx); err != nil {
			return err
		}
		time.Sleep(arriving)
		if err := beside[c].untimed(ctx); err != nil {
			return err
		}
		if err := relays[c].queue(ctx); err != nil { // after that one, which may take as long as it takes to settle
			return err
		}
		time.Sleep(arriving)
		return relays[c].timed(ctx, c, p)
	})
	for c, p := range settled {
		if p.failed != "" {
			fresh[c] = &pair{failed: p.failed}
		}
	}
	b.keep(b.current.rows[1], fresh)
	return err
}
