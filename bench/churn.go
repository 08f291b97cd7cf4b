package main

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// churn starts and stops a thousand candidates a second, and looks for what they have left behind.
func churn(ctx context.Context, b *bench) error {
	perSecond, seconds := b.pick(1000, 500), b.pick(60, 5)
	return b.alone(ctx, func(ctx context.Context, e *etcd, c *contender) error {
		s, err := b.side(ctx, c, 0)
		if err != nil {
			return err
		}
		if _, err := s.ask(ctx, request{Do: "churn", N: perSecond, Seconds: 1}); err != nil { // fills pools and caches
			return err
		}
		time.Sleep(time.Second)
		before, err := s.figures(ctx)
		if err != nil {
			return err
		}
		m, err := s.ask(ctx, request{Do: "churn", N: perSecond, Seconds: seconds})
		if err != nil {
			return err
		}
		b.scalar(c, "churn-rate", m.Figures["rate"])
		b.results.set(b.row("churn-start"), c.Name, m.Samples, nil, "")
		time.Sleep(time.Second) // what ends by itself has ended
		after, err := s.figures(ctx)
		if err != nil {
			return err
		}
		b.scalar(c, "churn-leak-memory", max(0, after["memory"]-before["memory"]))
		b.scalar(c, "churn-leak-goroutines", max(0, after["goroutines"]-before["goroutines"]))
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
	})
}
