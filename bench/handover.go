package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/samcday/locked/bench/systems"
)

const (
	settling = 150 * time.Millisecond // longer than any loop in a store that catches up with those who came late
	arriving = 10 * time.Millisecond  // enough to be in the queue
)

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
	_, all, err := b.contenders(ctx)
	if err != nil {
		return err
	}
	relays, beside := map[*contender]*relay{}, map[*contender]*relay{}
	ready := b.prepared(ctx, all, func(ctx context.Context, c *contender) (err error) {
		if relays[c], err = b.relay(ctx, c); err == nil {
			beside[c], err = relays[c].beside(ctx)
		}
		return err
	})
	o := course{rounds: b.pick(200, 30), limit: roundLimit}
	// All that wait settle together, when a round begins.
	queued, passed := map[*contender]int{}, map[*contender]int{}
	settled, err := b.rounds(ctx, o, b.current.rows[0], ready, func(ctx context.Context, round int, c *contender, p *pair) error {
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
	alive := slices.DeleteFunc(ready, func(c *contender) bool { return settled[c].failed != "" })
	_, err = b.rounds(ctx, o, b.current.rows[1], alive, func(ctx context.Context, _ int, c *contender, p *pair) error {
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
			b.results.set(b.current.rows[1], c.Name, nil, nil, p.failed)
		}
	}
	return err
}
