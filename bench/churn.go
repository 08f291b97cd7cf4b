package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/bench/systems"
)

// churn starts and stops candidates at a rate, and looks for what they have left behind. What the first round leaves is
// caches and pools that it filled; a leak is what a second, equal one adds.
func churn(ctx context.Context, b *bench) error {
	perSecond := b.size("%churn")
	return b.alone(ctx, func(ctx context.Context, e *etcd, c *contender) error {
		seconds := b.pick(15, 3)
		if c.Name == systems.Locked {
			seconds = b.pick(60, 5)
		}
		s, err := b.side(ctx, c, 0)
		if err != nil {
			return err
		}
		var m message
		var left [2]map[string]float64
		for round := range left {
			if m, err = s.ask(ctx, request{Do: "churn", N: perSecond, Seconds: seconds}); err != nil {
				return err
			}
			if err := rest(ctx, 2*time.Second); err != nil { // what ends by itself has ended
				return err
			}
			if left[round], err = s.figures(ctx); err != nil {
				return err
			}
		}
		why := ""
		if m.Figures["rate"] < 0.95*float64(perSecond) {
			why = fmt.Sprintf("it does not reach the %d/s that are asked of it", perSecond)
		}
		b.results.set(b.row("churn-rate"), c.Name, []float64{m.Figures["rate"]}, nil, why)
		b.results.set(b.row("churn-start"), c.Name, thinned(m.Samples, 5000), nil, why)
		n := float64(len(m.Samples))
		b.scalar(c, "churn-leak-memory", max(0, left[1]["memory"]-left[0]["memory"])/n)
		b.scalar(c, "churn-leak-goroutines", max(0, left[1]["goroutines"]-left[0]["goroutines"]))
		return b.leftKeys(ctx, e, c)
	})
}

// thinned keeps no more than so many samples, from all over the time.
func thinned(samples []float64, most int) (kept []float64) {
	step := max(1, (len(samples)+most-1)/most)
	for i := 0; i < len(samples); i += step {
		kept = append(kept, samples[i])
	}
	return kept
}

// leftKeys counts what the starts and stops have left in etcd.
func (b *bench) leftKeys(ctx context.Context, e *etcd, c *contender) error {
	if c.Store != "etcd" {
		b.none(c, "counted on etcd only", "churn-leak-keys")
		return nil
	}
	client, err := b.client(e)
	if err != nil {
		return err
	}
	left, err := client.Get(ctx, "/churn", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	b.scalar(c, "churn-leak-keys", float64(left.Count))
	return nil
}
