package etcd

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Leases gets leases, renews them, has renewals proven, and ends leases.
type Leases struct {
	conn   *Conn
	host   Host
	proven func(took time.Duration)

	waiting map[time.Duration][]claim       // by TTL: renewals to be proven
	beats   map[time.Duration]time.Duration // by TTL: a reading of the clock from which renewals are due every period
}

// NewLeases gives those of a host. How long each proof took is posted.
func NewLeases(c *Conn, h Host, proven func(took time.Duration)) *Leases {
	return &Leases{conn: c, host: h, proven: proven, waiting: map[time.Duration][]claim{}, beats: map[time.Duration]time.Duration{}}
}

// patience is how long one attempt to get or renew a lease may take: short enough that a connection gone silent costs an
// attempt and not the lease.
func (l *Leases) patience(ttl time.Duration) time.Duration {
	return min(l.conn.timeout, max(ttl/5, 300*time.Millisecond))
}

// Keys posts the names of the keys on a lease.
func (l *Leases) Keys(lease int64, listed func(keys []string, err error)) {
	l.host.Spawn(func() {
		keys, err := l.conn.keysOn(l.host.Context, lease)
		l.host.Post(func() { listed(keys, err) })
	})
}

func (c *Conn) keysOn(ctx context.Context, lease int64) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.leases.LeaseTimeToLive(ctx, &etcdserverpb.LeaseTimeToLiveRequest{ID: lease, Keys: true}, AnySize)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, k := range resp.Keys {
		if key, ok := strings.CutPrefix(string(k), c.prefix); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// revocations is how many leases are revoked at a time.
const revocations = 16

// Revoke ends leases that nothing is left on, and waits for that: it may be called from anywhere. One that etcd does not know
// any more is none to worry about, and one that cannot be revoked ends by itself.
func (l *Leases) Revoke(ids []int64) {
	ctx, cancel := context.WithTimeout(l.host.Context, l.conn.timeout)
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, revocations)
	for _, id := range ids {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer all.Done()
			defer func() { <-slots }()
			if _, err := l.conn.leases.LeaseRevoke(ctx, &etcdserverpb.LeaseRevokeRequest{ID: id}); err != nil {
				l.host.Log.Debug("lease not revoked", "lease", id, "error", err)
			}
		}()
	}
	all.Wait()
}
