package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
)

// Grant gets a new lease after a while, for as long as that takes, and posts it. It is proven with one of the paths. Of each
// attempt that fails it posts the error, and is given the paths to prove the next one with: without any it gives up, and when ctx
// ends.
func (l *Leases) Grant(ctx context.Context, ttl, after time.Duration, paths []string, granted func(*election.Lease), failed func(error) (paths []string)) {
	g := grant{l: l, ttl: ttl, paths: paths}
	l.host.Spawn(func() {
		clock.Pause(ctx, after)
		for attempt := 1; ctx.Err() == nil; attempt++ {
			le, err := g.try(ctx)
			if err == nil {
				l.host.Post(func() { granted(le) })
				return
			}
			if ctx.Err() != nil {
				return
			}
			more := make(chan []string, 1)
			l.host.Post(func() { more <- failed(err) })
			select {
			case g.paths = <-more:
			case <-ctx.Done():
			}
			if len(g.paths) == 0 || ctx.Err() != nil {
				return
			}
			clock.Pause(ctx, clock.Backoff(attempt, ttl/10))
		}
	})
}

// grant is one lease that is asked for, again and again under the same id, so that a lost answer leaves nothing behind.
type grant struct {
	l     *Leases
	ttl   time.Duration
	paths []string // to prove it with
	id    int64
	sent  time.Duration // first
	term  uint64        // raft term that was proven to stand before that
}

func (g *grant) try(ctx context.Context) (*election.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, g.l.patience(g.ttl))
	defer cancel()
	if g.id == 0 {
		term, err := g.l.conn.Agree(ctx, g.paths)
		if err != nil {
			return nil, err
		}
		g.term, g.id, g.sent = term, 1+rand.Int64N(1<<62), g.l.host.Clock.Now()
	}
	ttl, after, err := g.request(ctx)
	if err != nil {
		return nil, err
	}
	le, ok := election.Granted(g.id, ttl, g.sent, g.term, after)
	if !ok || !le.Alive(g.l.host.Clock.Now()) {
		g.id = 0 // it ends by itself: nothing was ever put on it
		return nil, ErrUnproven
	}
	return &le, nil
}

// request asks for the lease. If an earlier request was answered after all, etcd is asked what became of it.
func (g *grant) request(ctx context.Context) (ttl time.Duration, raftTerm uint64, err error) {
	sent := g.l.conn.past.mark()
	resp, err := g.l.conn.leases.LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{ID: g.id, TTL: int64(g.ttl / time.Second)})
	if err == nil {
		g.l.conn.past.agreed(sent, resp.Header)
		return time.Duration(resp.TTL) * time.Second, resp.Header.RaftTerm, nil
	}
	if err = rpctypes.Error(err); !errors.Is(err, rpctypes.ErrLeaseExist) {
		return 0, 0, err
	}
	left, err := g.l.conn.leases.LeaseTimeToLive(ctx, &etcdserverpb.LeaseTimeToLiveRequest{ID: g.id})
	if err != nil {
		return 0, 0, err
	}
	raftTerm, err = g.l.conn.Agree(ctx, g.paths)
	return time.Duration(left.GrantedTTL) * time.Second, raftTerm, err
}
