package locked

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// grant gets a new lease, for as long as that takes.
func (k *keeper) grant() {
	if k.granting || !k.needed() || k.l.closing {
		return
	}
	k.granting = true
	g := grant{l: k.l, ttl: k.ttl, paths: k.paths()}
	k.l.spawn(func() {
		for attempt := 1; ; attempt++ {
			le, err := g.try(k.l.ctx)
			if err == nil {
				k.l.post(func() { k.granted(le) })
				return
			}
			if k.l.ctx.Err() != nil {
				return
			}
			more := make(chan []string, 1)
			k.l.post(func() { more <- k.ungranted(err) })
			select {
			case g.paths = <-more:
			case <-k.l.ctx.Done():
			}
			if len(g.paths) == 0 || k.l.ctx.Err() != nil {
				return
			}
			pause(k.l.ctx, delay(attempt, k.ttl/10))
		}
	})
}

// granted takes up a new lease: from now on keys are written with it, and moved to it.
func (k *keeper) granted(le *election.Lease) {
	k.granting = false
	k.l.log.Debug("lease granted", "lease", le.ID, "ttl", le.TTL, "raft_term", le.RaftTerm)
	k.l.askVersions()
	k.holding.Leases = append(k.holding.Leases, le)
	k.holding.Current = le.ID
	if len(k.nodes) == 0 {
		return
	}
	k.renew(le)
	k.stepAll(election.Seen)
}

// ungranted tells the nodes that there is no lease yet, and gives the paths to prove the next one with: none if nobody needs
// a lease any more.
func (k *keeper) ungranted(err error) []string {
	k.l.log.Warn("lease not granted", "error", err)
	for n := range k.nodes {
		if k.l.closing {
			break
		}
		n.failed("get a lease", err)
		if n.running { // it may take a while: until then the node follows others
			n.contest.Load().follow()
		}
	}
	if !k.needed() || k.l.closing {
		k.granting = false
		return nil
	}
	return k.paths()
}

// grant is one lease that is asked for, again and again under the same id, so that a lost answer leaves nothing behind.
type grant struct {
	l     *Locker
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
		term, err := g.l.etcd.Agree(ctx, g.paths)
		if err != nil {
			return nil, err
		}
		g.term, g.id, g.sent = term, 1+rand.Int64N(1<<62), g.l.clock.Now()
	}
	ttl, after, err := g.request(ctx)
	if err != nil {
		return nil, err
	}
	le, ok := election.Granted(g.id, ttl, g.sent, g.term, after)
	if !ok || !le.Alive(g.l.clock.Now()) {
		g.id = 0 // it ends by itself: nothing was ever put on it
		return nil, etcd.ErrUnproven
	}
	return &le, nil
}

// request asks for the lease. If an earlier request was answered after all, etcd is asked what became of it.
func (g *grant) request(ctx context.Context) (ttl time.Duration, raftTerm uint64, err error) {
	resp, err := g.l.etcd.Leases.LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{ID: g.id, TTL: int64(g.ttl / time.Second)})
	if err == nil {
		return time.Duration(resp.TTL) * time.Second, resp.Header.RaftTerm, nil
	}
	if err = rpctypes.Error(err); !errors.Is(err, rpctypes.ErrLeaseExist) {
		return 0, 0, err
	}
	left, err := g.l.etcd.Leases.LeaseTimeToLive(ctx, &etcdserverpb.LeaseTimeToLiveRequest{ID: g.id})
	if err != nil {
		return 0, 0, err
	}
	raftTerm, err = g.l.etcd.Agree(ctx, g.paths)
	return time.Duration(left.GrantedTTL) * time.Second, raftTerm, err
}
