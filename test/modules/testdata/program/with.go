//go:build withlocked

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/metrics"
)

// run holds elections on the etcd whose endpoint is the first argument: everything that the library says to etcd, it says here
// with the lowest client that it allows.
func run(registry prometheus.Registerer) error {
	if _, err := size(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := connect(os.Args[1])
	if err != nil {
		return err
	}
	defer client.Close()
	l, err := locked.NewFromClient(client)
	if err != nil {
		return err
	}
	registry.MustRegister(metrics.New(l))
	for name, step := range map[string]func(context.Context, *locked.Locker) error{"handover": handover, "expiry": expiry, "lead": lead} {
		if err := step(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println(name, "ok")
	}
	return l.Close(ctx)
}

func node(l *locked.Locker, path, id string) (*locked.Node, error) {
	return l.Node(path, locked.NodeConfig{ID: id, Value: "value of " + id, TTL: 2 * time.Second})
}

// handover moves leadership from one node to the next, by a transfer and by a stop.
func handover(ctx context.Context, l *locked.Locker) error {
	a, err := node(l, "/handover", "a")
	if err != nil {
		return err
	}
	b, err := node(l, "/handover", "b")
	if err != nil {
		return err
	}
	events := b.Events(ctx)
	if err := errors.Join(a.Start(ctx), b.Start(ctx), l.Transfer(ctx, "/handover", "b"), b.SetValue(ctx, "new")); err != nil {
		return err
	}
	for e := range events {
		if e.Kind == locked.EventSelect {
			break
		}
	}
	leader, err := l.Leader(ctx, "/handover")
	if err != nil || leader.ID != "b" || leader.Value != "new" || !b.IsSelected() || a.IsSelected() {
		return fmt.Errorf("led by %+v: %w", leader, err)
	}
	return errors.Join(b.Stop(ctx), a.Stop(ctx))
}

// expiry lets a leader on another connection be cut off, which a second one outlives.
func expiry(ctx context.Context, l *locked.Locker) error {
	other, err := locked.New(os.Args[1])
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	first, err := node(other, "/expiry", "first")
	if err != nil {
		return err
	}
	second, err := node(l, "/expiry", "second")
	if err != nil {
		return err
	}
	events := second.Events(ctx)
	if err := errors.Join(first.Start(ctx), second.Start(ctx)); err != nil {
		return err
	}
	leader, err := l.Leader(ctx, "/expiry")
	if err != nil {
		return err
	}
	client, err := connect(os.Args[1])
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Delete(ctx, "/expiry", clientv3.WithPrefix()); err != nil { // as a lease does that ends
		return err
	}
	for e := range events {
		if e.Kind == locked.EventChange && e.Token > leader.Token {
			return errors.Join(first.Stop(ctx), second.Stop(ctx))
		}
	}
	return ctx.Err()
}

// lead writes through a term, and in vain after it.
func lead(ctx context.Context, l *locked.Locker) error {
	n, err := node(l, "/lead", "n")
	if err != nil {
		return err
	}
	var over *locked.Term
	put := clientv3.OpPut("/written", "by the leader")
	err = n.Lead(ctx, func(ctx context.Context, term *locked.Term) error {
		over = term
		time.Sleep(3 * time.Second) // renewals and proofs
		_, err := term.Txn(ctx).Then(put).Commit()
		return err
	})
	if err != nil {
		return err
	}
	if _, err := over.Txn(ctx).Then(put).Commit(); !errors.Is(err, locked.ErrNotLeader) {
		return fmt.Errorf("a write after the term: %v", err)
	}
	return nil
}
