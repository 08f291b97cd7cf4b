package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/samcday/locked/bench/systems"
)

// pair is a system's times and those of its store's floor, taken in turns.
type pair struct {
	ours, floor []float64
	failed      string // why there are no more
	spent       time.Duration
}

// course says how rounds go.
type course struct {
	rounds int
	limit  time.Duration // of what one system does in a round
	peers  time.Duration // how long a peer is measured in all: a slow one gets fewer rounds; 0 is no limit
	atOnce bool          // all systems at the same time, not in turns
}

// rounds does something with every contender in turns, in another order each time, and keeps what comes of it. One that
// fails is out, and keeps the figures that it has.
func (b *bench) rounds(ctx context.Context, o course, r row, all []*contender, f func(ctx context.Context, round int, c *contender, p *pair) error) (map[*contender]*pair, error) {
	pairs := map[*contender]*pair{}
	for _, c := range all {
		pairs[c] = &pair{}
	}
	defer func() { // also of rounds that were interrupted
		for c, p := range pairs {
			b.results.set(r, c.Name, p.ours, p.floor, p.failed)
		}
	}()
	b.steps(o.rounds)
	turns := slices.Clone(all)
	for i := range o.rounds {
		rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		errs := make([]error, len(turns))
		var group sync.WaitGroup
		for k, c := range turns {
			one := func() {
				limited, cancel := context.WithTimeout(ctx, o.limit)
				defer cancel()
				begun := time.Now()
				errs[k] = f(limited, i, c, pairs[c])
				pairs[c].spent += time.Since(begun)
			}
			if group.Go(one); !o.atOnce {
				group.Wait()
			}
		}
		if group.Wait(); ctx.Err() != nil {
			return pairs, ctx.Err()
		}
		for k, c := range slices.Clone(turns) {
			over := o.peers > 0 && c.Name != systems.Locked && pairs[c].spent > o.peers
			if err := errs[k]; err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					err = fmt.Errorf("not over after %v", o.limit)
				}
				pairs[c].failed = fmt.Sprintf("failed in round %d of %d: %v", i+1, o.rounds, err)
				b.count(c.System, err)
				over = true
			}
			if over {
				turns = slices.DeleteFunc(turns, func(other *contender) bool { return other == c })
			}
		}
		b.step()
	}
	return pairs, nil
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
		p.keep(took, least)
	}
	return err
}

// keep takes a sample, and one of the floor if there is one.
func (p *pair) keep(ours float64, floor ...float64) {
	p.ours, p.floor = append(p.ours, ours), append(p.floor, floor...)
}

// timed is how long f takes, in seconds.
func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// hearing is one put and its notification.
func hearing(ctx context.Context, f systems.Floor) error {
	if err := f.Put(ctx); err != nil {
		return err
	}
	return f.Hear(ctx)
}
