package locked

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

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

// grant gets a new lease, for as long as that takes.
func (k *keeper) grant() {
	if k.granting || !k.needed() || k.l.closing {
		return
	}
	k.granting = true
	k.l.leases.Grant(k.ttl, k.paths(), k.granted, k.ungranted)
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

// askVersions tells the log of etcd's versions, the first time.
func (l *Locker) askVersions() {
	if !l.askedVersions && l.log.Enabled(l.ctx, slog.LevelWarn) {
		l.askedVersions = true
		l.etcd.TellVersions(l.host())
	}
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
			n.state.Load().follow()
		}
	}
	if !k.needed() || k.l.closing {
		k.granting = false
		return nil
	}
	return k.paths()
}

// paths gives some paths that the nodes of the keeper compete for, to prove a lease with. Which ones is left to chance.
func (k *keeper) paths() (paths []string) {
	for n := range k.nodes {
		if paths = append(paths, n.path); len(paths) == etcd.ProofPaths {
			break
		}
	}
	return paths
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
	fresh := le.Alive(k.l.clock.Now() + le.TTL*8/10) // just granted
	k.l.leases.Renew(ctx, le.ID, le.TTL, fresh, func(r etcd.Renewal) { k.acknowledged(ctx, le, r) })
}

// acknowledged takes the result of a request to renew, and has it proven.
func (k *keeper) acknowledged(ctx context.Context, le *election.Lease, r etcd.Renewal) {
	switch {
	case ctx.Err() != nil:
	case r.Err != nil:
		k.failed(le, r)
	case r.TTL <= 0 && k.missed.lease == le.ID && r.RaftTerm >= k.missed.raftTerm:
		k.lost(le.ID)
	default:
		k.missed = miss{}
		k.l.counters.renewal.add(r.Took)
		k.l.leases.Prove(le.TTL, r, k.paths, func(raftTerm uint64, err error) { k.renewed(ctx, le, r, raftTerm, err) })
	}
}

// renewed takes a renewal that was proven in a raft term, or was not. A belief that has run out by now ends before anything
// moves.
func (k *keeper) renewed(ctx context.Context, le *election.Lease, r etcd.Renewal, raftTerm uint64, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil && raftTerm != r.RaftTerm {
		err = etcd.ErrUnproven // it is worth another try at once
	}
	if err == nil && r.TTL <= 0 {
		k.missed, err = miss{le.ID, raftTerm}, errMissed
	}
	if r.Err = err; err != nil {
		k.failed(le, r)
		return
	}
	r.Verdict(nil)
	now := k.l.clock.Now()
	k.expire(now)
	le.Sent(r.Sent)
	le.Acked(r.TTL, r.RaftTerm)
	if le.Verified(now, raftTerm) {
		k.refreshed(le)
		k.audits(le)
		return
	}
	if raftTerm != le.RaftTerm {
		k.retire(le, "etcd has a new leader")
	}
	k.outlived(le, now)
}

// failed lets a renewal that was not made, or not proven, be tried again.
func (k *keeper) failed(le *election.Lease, r etcd.Renewal) {
	r.Verdict(r.Err)
	now := k.l.clock.Now()
	k.expire(now)
	k.l.log.Warn("lease not renewed", "lease", le.ID, "left", le.Deadline-now, "error", r.Err)
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
