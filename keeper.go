package locked

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
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
	listing  bool          // the keys on a lease, for the audit
	proven   map[int64]int // renewals, by lease
	missed   miss
}

// miss is a lease that etcd did not know, when its leader had committed an entry in a raft term after that.
type miss struct {
	lease    int64
	raftTerm uint64
}

// errMissed says that etcd does not know a lease. A new leader does not, until it has applied what was granted under the one
// before; it has when it has committed an entry. So that is waited for, and etcd asked again. One that was deposed never knows
// what was granted since: its answers name an earlier raft term.
var errMissed = errors.New("etcd does not know the lease")

// nodesPerLease bounds the keys on a lease: with auth on, etcd checks every one of them at each renewal and each put.
const nodesPerLease = 256

// join gives a node a keeper, and the keeper a lease if it has none.
func (l *Locker) join(n *Node) *keeper {
	i := slices.IndexFunc(l.keepers[n.ttl], func(k *keeper) bool { return len(k.nodes) < nodesPerLease })
	if i < 0 {
		k := &keeper{
			l: l, ttl: n.ttl, nodes: map[*Node]struct{}{}, renewals: map[int64]context.CancelFunc{}, proven: map[int64]int{},
		}
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
		clear(k.proven)
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
		if !n.forsaken && n.candidate.Names(lease) {
			return true
		}
	}
	return false
}

// forsake leaves a key that etcd does not let its node delete to end with its lease, which the other nodes move away from.
func (k *keeper) forsake(n *Node) {
	n.forsaken = true
	le := k.holding.Lease(n.candidate.Key().Lease)
	if le == nil {
		return
	}
	k.retire(le, "a key on it cannot be deleted")
	if !k.named(le.ID) {
		k.drop(le)
	}
}

// needed reports whether a node has a use for a lease.
func (k *keeper) needed() bool {
	for n := range k.nodes {
		if !n.forsaken {
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
	delete(k.proven, le.ID)
	k.holding.Leases = slices.DeleteFunc(k.holding.Leases, func(other *election.Lease) bool { return other == le })
}

// renew keeps a lease alive from now on.
func (k *keeper) renew(le *election.Lease) {
	ctx, cancel := context.WithCancel(k.l.ctx)
	k.renewals[le.ID] = cancel
	r := renewer{l: k.l, id: le.ID, ttl: le.TTL}
	first := k.l.clock.Now()
	beat := k.l.nextBeat(first, le.TTL)
	if le.Alive(first + le.TTL*8/10) { // just granted
		first = beat
	}
	k.l.spawn(func() {
		defer cancel()
		r.run(ctx, first, beat, func(res renewal) { k.l.post(func() { k.acknowledged(ctx, le, res) }) })
	})
}

// acknowledged takes the result of a request to renew, and has it proven.
func (k *keeper) acknowledged(ctx context.Context, le *election.Lease, r renewal) {
	switch {
	case ctx.Err() != nil:
	case r.err != nil:
		k.failed(le, r)
	case r.ttl <= 0 && k.missed.lease == le.ID && r.acked >= k.missed.raftTerm:
		k.lost(le.ID)
	default:
		k.missed = miss{}
		k.l.counters.renewal.add(r.took)
		k.l.prove(claim{k, le, ctx, r})
	}
}

// renewed takes a renewal that was proven in a raft term, or was not. A belief that has run out by now ends before anything
// moves.
func (k *keeper) renewed(c claim, raftTerm uint64, err error) {
	if c.ctx.Err() != nil {
		return
	}
	if err == nil && raftTerm != c.acked {
		err = etcd.ErrUnproven // it is worth another try at once
	}
	if err == nil && c.ttl <= 0 {
		k.missed, err = miss{c.lease.ID, raftTerm}, errMissed
	}
	if c.err = err; err != nil {
		k.failed(c.lease, c.renewal)
		return
	}
	c.verdict(nil)
	now := k.l.clock.Now()
	k.expire(now)
	c.lease.Sent(c.sent)
	c.lease.Acked(c.ttl, c.acked)
	if c.lease.Verified(now, raftTerm) {
		k.refreshed(c.lease)
		k.audits(c.lease)
		return
	}
	if raftTerm != c.lease.RaftTerm {
		k.retire(c.lease, "etcd has a new leader")
	}
	k.outlived(c.lease, now)
}

// failed lets a renewal that was not made, or not proven, be tried again.
func (k *keeper) failed(le *election.Lease, r renewal) {
	r.verdict(r.err)
	now := k.l.clock.Now()
	k.expire(now)
	k.l.log.Warn("lease not renewed", "lease", le.ID, "left", le.Deadline-now, "error", r.err)
	k.outlived(le, now)
}

// outlived stops counting on a lease whose time is over.
func (k *keeper) outlived(le *election.Lease, now time.Duration) {
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
			n.emit(Event{Kind: EventRefresh, Token: key.Create, Revision: key.Mod})
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
func (l *Locker) revoke(ids []int64) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, id := range ids {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer all.Done()
			defer func() { <-slots }()
			if _, err := l.etcd.Leases.LeaseRevoke(ctx, &etcdserverpb.LeaseRevokeRequest{ID: id}); err != nil {
				l.log.Debug("lease not revoked", "lease", id, "error", err)
			}
		}()
	}
	all.Wait()
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
