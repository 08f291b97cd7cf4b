package main

import (
	"context"
	"fmt"
	"time"

	"github.com/samcday/locked/bench/systems"
)

// alone does something with one contender after the other, each with an etcd of its own. One that does not come to an end
// has that noted; peers get less time for it.
func (b *bench) alone(ctx context.Context, f func(context.Context, *etcd, *contender) error) error {
	b.steps(len(b.systems))
	for _, s := range b.systems {
		limit := time.Duration(b.pick(120, 25)) * time.Second
		if s.Name == systems.Locked {
			limit *= 2
		}
		err := b.within(ctx, limit, s, f)
		if b.clean(); ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.bear(s, err)
		}
		if err := b.save(); err != nil {
			return err
		}
		b.step()
	}
	return nil
}

func (b *bench) within(ctx context.Context, limit time.Duration, s *systems.System, f func(context.Context, *etcd, *contender) error) error {
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	c := b.contender(ctx, s, e)
	if c == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err = f(limited, e, c); limited.Err() != nil {
		return fmt.Errorf("not done after %v", limit)
	}
	return err
}
