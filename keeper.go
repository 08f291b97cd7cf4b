package locked

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/election"
)

// keeper holds the lease of a group of nodes with the same TTL, and the earlier ones that keys of theirs may still be on.
// It belongs to the loop.
type keeper struct {
	l        *Locker
	ttl      time.Duration
	nodes    map[*Node]struct{}
	holding  election.Holding
	renewals map[int64]context.CancelFunc // of the goroutines that renew a lease each
	granting bool
}

// nodesPerLease bounds the keys on a lease: with auth on, etcd checks every one of them at each renewal and each put.
const nodesPerLease = 256

// join gives a node a keeper, and the keeper a lease if it has none.
func (l *Locker) join(n *Node) *keeper {
	i := slices.IndexFunc(l.keepers[n.ttl], func(k *keeper) bool { return len(k.nodes) < nodesPerLease })
	if i < 0 {
		k := &keeper{l: l, ttl: n.ttl, nodes: map[*Node]struct{}{}, renewals: map[int64]context.CancelFunc{}}
		l.keepers[n.ttl] = append(l.keepers[n.ttl], k)
		i = len(l.keepers[n.ttl]) - 1
	}
	k := l.keepers[n.ttl][i]
	k.nodes[n] = struct{}{}
	if len(k.nodes) == 1 {
		k.resume()
	}
	return k
}

// leave takes a node from the keeper. A lease that nobody uses is not renewed: it ends by itself, unless somebody comes
// in time to take it up again.
func (k *keeper) leave(n *Node) {
	delete(k.nodes, n)
	if len(k.nodes) == 0 {
		for _, stop := range k.renewals {
			stop()
		}
		clear(k.renewals)
	}
}

// resume takes up the lease that an empty keeper left, if half of its time is left, or gets a new one.
func (k *keeper) resume() {
	k.holding.Leases = slices.DeleteFunc(k.holding.Leases, func(le *election.Lease) bool { return le.ID != k.holding.Current })
	if le := k.holding.Lease(k.holding.Current); le != nil && le.Alive(k.l.clock.Now()+le.TTL/2) {
		k.renew(le)
		return
	}
	k.holding = election.Holding{}
	k.grant()
}

// grant gets a new lease, for as long as that takes.
func (k *keeper) grant() {
	if k.granting || len(k.nodes) == 0 || k.l.closing {
		return
	}
	k.granting = true
	k.l.spawn(func() {
		g := grant{l: k.l, ttl: k.ttl}
		for attempt := 1; ; attempt++ {
			le, err := g.try(k.l.ctx)
			if err == nil {
				k.l.post(func() { k.granted(le) })
				return
			}
			if k.l.ctx.Err() != nil {
				return
			}
			more := make(chan bool, 1)
			k.l.post(func() { more <- k.ungranted(err) })
			select {
			case yes := <-more:
				if !yes {
					return
				}
			case <-k.l.ctx.Done():
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

// ungranted tells the nodes that there is no lease yet, and reports whether to go on trying.
func (k *keeper) ungranted(err error) bool {
	k.l.log.Warn("lease not granted", "error", err)
	if len(k.nodes) == 0 || k.l.closing {
		k.granting = false
		return false
	}
	for n := range k.nodes {
		n.failed("get a lease", err)
		if n.running { // it may take a while: until then the node follows others
			n.contest.Load().follow()
		}
	}
	return true
}

// retire stops counting on a lease. It goes on being renewed while keys are on it.
func (k *keeper) retire(le *election.Lease, why string) {
	if k.holding.Current != le.ID {
		return
	}
	k.l.log.Info("lease retired", "lease", le.ID, "why", why)
	k.holding.Current = 0
	k.grant()
}

// lost forgets a lease that etcd does not know any more, and the keys on it with it.
func (k *keeper) lost(id int64) {
	le := k.holding.Lease(id)
	if le == nil {
		return
	}
	k.retire(le, "etcd does not know it")
	k.drop(le)
	k.stepAll(election.Seen)
}

// prune stops renewing the earlier leases that neither a key nor a transaction under way names any more.
func (k *keeper) prune() {
	if len(k.holding.Leases) < 2 || k.holding.Current == 0 {
		return
	}
	for _, le := range slices.Clone(k.holding.Leases) {
		if le.ID != k.holding.Current && !k.named(le.ID) {
			k.drop(le)
		}
	}
}

func (k *keeper) named(lease int64) bool {
	for n := range k.nodes {
		if n.candidate.Names(lease) {
			return true
		}
	}
	return false
}

func (k *keeper) drop(le *election.Lease) {
	if stop := k.renewals[le.ID]; stop != nil {
		stop()
		delete(k.renewals, le.ID)
	}
	k.holding.Leases = slices.DeleteFunc(k.holding.Leases, func(other *election.Lease) bool { return other == le })
}

// renew keeps a lease alive from now on.
func (k *keeper) renew(le *election.Lease) {
	ctx, cancel := context.WithCancel(k.l.ctx)
	k.renewals[le.ID] = cancel
	r := renewer{l: k.l, id: le.ID, ttl: le.TTL}
	fresh := le.Alive(k.l.clock.Now() + le.TTL*8/10) // just granted
	k.l.spawn(func() {
		defer cancel()
		r.run(ctx, fresh, func(res renewal) { k.l.post(func() { k.renewed(ctx, le, res) }) }, func(keys []string) {
			k.l.post(func() { k.audit(le.ID, keys) })
		})
	})
}

// renewed takes the result of a renewal. A belief that has run out by now ends before anything moves.
func (k *keeper) renewed(ctx context.Context, le *election.Lease, r renewal) {
	if ctx.Err() != nil {
		return
	}
	if r.err == nil && r.ttl <= 0 {
		k.lost(le.ID)
		return
	}
	now := k.l.clock.Now()
	k.expire(now)
	if r.err == nil {
		k.l.counters.renewal.add(r.took)
		k.l.counters.verification.add(r.tookRead)
		le.Sent(r.sent)
		le.Acked(r.ttl, r.acked)
		if le.Verified(now, r.verified) {
			k.refreshed(le)
			return
		}
		if r.acked == r.verified && r.verified != le.RaftTerm {
			k.retire(le, "etcd has a new leader")
		}
	} else {
		k.l.log.Warn("lease not renewed", "lease", le.ID, "left", le.Deadline-now, "error", r.err)
	}
	if !le.Alive(now) {
		k.retire(le, "not renewed in time")
	}
}

// expire ends what has run out of the nodes that the keeper's leases carry.
func (k *keeper) expire(now time.Duration) {
	for n := range k.nodes {
		if _, ok := k.l.believers.nodes[n]; ok {
			n.expire(now)
		}
	}
}

// refreshed moves the end of belief of the nodes that lead on a lease.
func (k *keeper) refreshed(le *election.Lease) {
	for n := range k.nodes {
		key, leads := n.candidate.Leading()
		switch {
		case leads && key.Lease == le.ID:
			n.prolong()
			n.emit(Event{Kind: Refresh, Token: key.Create, Revision: key.Mod})
		case n.candidate.Place() == election.Elected: // elected, when the lease had too little time left to begin
			n.step(election.Input{What: election.Seen})
		}
	}
}

func (k *keeper) stepAll(what election.What) {
	for n := range k.nodes {
		n.step(election.Input{What: what})
	}
}

func (l *Locker) leaseIDs() []int64 {
	var ids []int64
	for _, keepers := range l.keepers {
		for _, k := range keepers {
			for _, le := range k.holding.Leases {
				ids = append(ids, le.ID)
			}
		}
	}
	return ids
}

// revoke ends leases that nothing is left on. One that etcd does not know any more is none to worry about, and one that
// cannot be revoked ends by itself.
func (l *Locker) revoke(ids []int64) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, requestsUnderWay)
	for _, id := range ids {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if _, err := l.leases.LeaseRevoke(ctx, &etcdserverpb.LeaseRevokeRequest{ID: id}); err != nil {
				l.log.Debug("lease not revoked", "lease", id, "error", err)
			}
		})
	}
	all.Wait()
	return nil
}

// grant is one lease that is asked for, again and again under the same id, so that a lost answer leaves nothing behind.
type grant struct {
	l    *Locker
	ttl  time.Duration
	id   int64
	sent time.Duration // first
	term uint64        // raft term that was proven to stand before that
}

func (g *grant) try(ctx context.Context) (*election.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, g.l.patience(g.ttl))
	defer cancel()
	if g.id == 0 {
		term, err := g.l.linearizable(ctx)
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
		return nil, errUnproven
	}
	return &le, nil
}

var errUnproven = errors.New("etcd changed its leader meanwhile")

// request asks for the lease. If an earlier request was answered after all, etcd is asked what became of it.
func (g *grant) request(ctx context.Context) (ttl time.Duration, raftTerm uint64, err error) {
	resp, err := g.l.leases.LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{ID: g.id, TTL: int64(g.ttl / time.Second)})
	if err == nil {
		return time.Duration(resp.TTL) * time.Second, resp.Header.RaftTerm, nil
	}
	if err = rpctypes.Error(err); !errors.Is(err, rpctypes.ErrLeaseExist) {
		return 0, 0, err
	}
	left, err := g.l.leases.LeaseTimeToLive(ctx, &etcdserverpb.LeaseTimeToLiveRequest{ID: g.id})
	if err != nil {
		return 0, 0, err
	}
	raftTerm, err = g.l.linearizable(ctx)
	return time.Duration(left.GrantedTTL) * time.Second, raftTerm, err
}

// delay grows with the attempt from 20 ms up to a limit, with a quarter of it left to chance.
func delay(attempt int, limit time.Duration) time.Duration {
	d := min(20*time.Millisecond<<min(attempt-1, 8), limit)
	return d - rand.N(d/4+1)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
