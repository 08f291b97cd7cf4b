package etcd

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a caller asks for by itself: it waits for the answer, as long as its context lives.

// Get reads.
func (c *Conn) Get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return c.kv.Get(clientv3.WithRequireLeader(ctx), key, options...)
}

// Txn gives a transaction of the caller's own.
func (c *Conn) Txn(ctx context.Context) clientv3.Txn { return c.kv.Txn(ctx) }

// Follow gives a watch of all keys that begin with a prefix, whose first response says that it is open.
func (c *Conn) Follow(ctx context.Context, prefix string) clientv3.WatchChan {
	return c.watcher.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
}

// Lend gives a lease of the caller's own, which nothing has to be proven of.
func (c *Conn) Lend(ctx context.Context, ttl time.Duration) (lease int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	granted, err := c.client.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return 0, err
	}
	return int64(granted.ID), nil
}

// KeepAlive renews such a lease once.
func (c *Conn) KeepAlive(ctx context.Context, lease int64) error {
	_, err := c.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	return err
}

// Return ends such a lease.
func (c *Conn) Return(ctx context.Context, lease int64) error {
	_, err := c.client.Revoke(ctx, clientv3.LeaseID(lease))
	return err
}

// Unanswered reports whether an error says that etcd did not answer within a request's own time.
func Unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || status.Code(Plain(err)) == codes.DeadlineExceeded
}
