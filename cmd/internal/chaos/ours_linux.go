package chaos

import (
	"context"
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/samcday/locked"
)

// ours competes with this library, by [locked.Node.Lead].
type ours struct {
	locker *locked.Locker
	node   *locked.Node
}

func (c *candidate) connectOurs() (func(int) (elector, error), func(), error) {
	l, err := c.locker()
	if err != nil {
		return nil, nil, err
	}
	one := func(e int) (elector, error) {
		// With so little grace they believe for as long as they may: nothing is forgiven.
		n, err := l.Node(electionPath(c.Prefix, e), locked.NodeConfig{ID: c.Who, Value: c.Name, TTL: c.TTL, Grace: c.TTL / 40})
		return &ours{locker: l, node: n}, err
	}
	closing := func() {
		ctx, cancel := context.WithTimeout(context.Background(), leavingLimit)
		defer cancel()
		_ = l.Close(ctx) // what is left ends with its lease
	}
	return one, closing, nil
}

// locker is made as a user makes it, unless a rule shall be broken: then by a client with somebody in between.
func (c *candidate) locker() (*locked.Locker, error) {
	limit := locked.WithRequestTimeout(c.TTL)
	if c.Break == "" {
		return locked.New(strings.Join(c.Endpoints, ","), limit)
	}
	b := &interceptor{rule: c.Break, prefix: c.Prefix, seconds: int64(c.TTL / time.Second)}
	client, err := clientv3.New(clientConfig(c.Endpoints, c.TTL,
		grpc.WithChainUnaryInterceptor(b.unary), grpc.WithChainStreamInterceptor(b.stream)))
	if err != nil {
		return nil, err
	}
	return locked.NewFromClient(client, limit)
}

// clientConfig is that of a client like those that [locked.New] makes.
func clientConfig(endpoints []string, timeout time.Duration, opts ...grpc.DialOption) clientv3.Config {
	wait := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
	return clientv3.Config{
		Endpoints: endpoints, Logger: zap.NewNop(),
		DialTimeout: timeout, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: append(opts, grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: timeout})),
	}
}

func (o *ours) belief() (token int64, remaining time.Duration) {
	token, remaining = o.node.Token(), o.node.Remaining()
	if o.node.Token() != token {
		remaining = 0 // it is of another term
	}
	return token, remaining
}

func (o *ours) compete(ctx context.Context, lead leadFunc) {
	// That it returns early is no harm: it is called again, and what etcd refused shows in the record.
	_ = o.node.Lead(ctx, func(ctx context.Context, t *locked.Term) error {
		lead(ctx, term{
			token: t.Token(),
			put: func(ctx context.Context, key, value string) (int64, error) {
				revision, err := putFenced(t.Txn(ctx), key, value)
				if errors.Is(err, locked.ErrNotLeader) {
					err = errFenced
				}
				return revision, err
			},
			cause: func() string { return causeOf(context.Cause(ctx)) },
		})
		return nil
	})
}

func causeOf(err error) string {
	switch {
	case errors.Is(err, locked.ErrStopped), errors.Is(err, context.Canceled):
		return causeStopped
	case errors.Is(err, locked.ErrTransferred):
		return causeTransferred
	}
	return causeLost
}

func (o *ours) leave(ctx context.Context) error { return o.node.Stop(ctx) }

func (o *ours) yield(ctx context.Context, to string) error {
	return o.locker.Transfer(ctx, o.node.Path(), to)
}
