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

// leaseGroup holds the lease of a group of nodes with the same TTL, and the earlier ones that keys of theirs may still be on.
// It belongs to the loop.
type leaseGroup struct {
	l        *Locker
	ttl      time.Duration
	nodes    map[*Node]struct{}
	holding  election.Holding
	renewals map[int64]context.CancelFunc // of the goroutines that renew a lease each
	granting context.CancelFunc           // of the goroutine that gets a lease, nil if there is none
	listing  bool                         // the keys on a lease, for the sweep
	proven   map[int64]int                // renewals, by lease
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

// join gives a node a group, and the group a lease if it has none.
func (l *Locker) join(n *Node) *leaseGroup {
	i := slices.IndexFunc(l.groups[n.ttl], func(g *leaseGroup) bool { return len(g.nodes) < nodesPerLease })
	if i < 0 {
		g := &leaseGroup{
			l: l, ttl: n.ttl, nodes: map[*Node]struct{}{}, renewals: map[int64]context.CancelFunc{}, proven: map[int64]int{},
		}
		l.groups[n.ttl] = append(l.groups[n.ttl], g)
		i = len(l.groups[n.ttl]) - 1
	}
	g := l.groups[n.ttl][i]
	g.nodes[n] = struct{}{}
	if len(g.nodes) == 1 {
		g.resume()
	}
	return g
}

// leave takes a node from the group. A lease that nobody uses is not renewed: it ends by itself, unless somebody comes
// in time to take it up again.
func (g *leaseGroup) leave(n *Node) {
	delete(g.nodes, n)
	if len(g.nodes) == 0 {
		for _, stop := range g.renewals {
			stop()
		}
		clear(g.renewals)
		clear(g.proven)
	}
}

// resume takes up the lease that an empty group left, if half of its time is left, or gets a new one.
func (g *leaseGroup) resume() {
	g.holding.Leases = slices.DeleteFunc(g.holding.Leases, func(le *election.Lease) bool { return le.ID != g.holding.Current })
	if le := g.holding.Lease(g.holding.Current); le != nil && le.Alive(g.l.clock.Now()+le.TTL/2) {
		g.renew(le)
		return
	}
	g.holding = election.Holding{}
	g.grant()
}

// grant gets a new lease, for as long as that takes.
func (g *leaseGroup) grant() {
	if g.granting != nil || !g.needed() || g.l.closing {
		return
	}
	var ctx context.Context
	ctx, g.granting = context.WithCancel(g.l.ctx)
	g.l.leases.Grant(ctx, g.ttl, g.l.barred(g.ttl), g.paths(),
		func(le *election.Lease) {
			if ctx.Err() == nil {
				g.granted(le)
			}
		},
		func(err error) []string {
			if ctx.Err() != nil {
				return nil
			}
			return g.ungranted(err)
		})
}

// giveUpGrant gives up getting a lease.
func (g *leaseGroup) giveUpGrant() {
	if g.granting != nil {
		g.granting()
		g.granting = nil
	}
}

// granted takes up a new lease: from now on keys are written with it, and moved to it.
func (g *leaseGroup) granted(le *election.Lease) {
	g.giveUpGrant()
	g.l.log.Debug("lease granted", "lease", le.ID, "ttl", le.TTL, "raft_term", le.RaftTerm)
	g.l.answering()
	g.l.askVersions()
	g.holding.Leases = append(g.holding.Leases, le)
	g.holding.Current = le.ID
	if len(g.nodes) == 0 {
		return
	}
	g.renew(le)
	g.stepAll(election.Seen)
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
func (g *leaseGroup) ungranted(err error) []string {
	g.l.log.Debug("lease not granted", "error", err)
	g.l.failing(err)
	for n := range g.nodes {
		if g.l.closing {
			break
		}
		n.failed("get a lease", err)
		if n.running { // it may take a while: until then the node follows others
			n.state.Load().follow()
		}
	}
	if !g.needed() || g.l.closing {
		g.giveUpGrant()
		return nil
	}
	return g.paths()
}

// paths gives some paths that the nodes of the group compete for, to prove a lease with. Which ones is left to chance.
func (g *leaseGroup) paths() (paths []string) {
	for n := range g.nodes {
		if paths = append(paths, n.path); len(paths) == etcd.ProofPaths {
			break
		}
	}
	return paths
}

// retire stops counting on a lease. It goes on being renewed while keys are on it.
func (g *leaseGroup) retire(le *election.Lease, why string) {
	if g.holding.Current != le.ID {
		return
	}
	g.l.log.Debug("lease retired", "lease", le.ID, "why", why)
	g.holding.Current = 0
	g.grant()
}

// lost forgets a lease that etcd does not know any more, and the keys on it with it.
func (g *leaseGroup) lost(id int64) {
	le := g.holding.Lease(id)
	if le == nil {
		return
	}
	g.retire(le, "etcd does not know it")
	g.drop(le)
	g.stepAll(election.Seen)
}

// prune stops renewing the earlier leases that neither a key nor a transaction under way names any more.
func (g *leaseGroup) prune() {
	if len(g.holding.Leases) < 2 || g.holding.Current == 0 {
		return
	}
	for _, le := range slices.Clone(g.holding.Leases) {
		if le.ID != g.holding.Current && !g.named(le.ID) {
			g.drop(le)
		}
	}
}

func (g *leaseGroup) named(lease int64) bool {
	for n := range g.nodes {
		if !n.forsaken && n.candidate.Names(lease) {
			return true
		}
	}
	return false
}

// forsake leaves a key that etcd does not let its node delete to end with its lease, which the other nodes move away from.
func (g *leaseGroup) forsake(n *Node) {
	n.forsaken = true
	le := g.holding.Lease(n.candidate.Key().Lease)
	if le == nil {
		return
	}
	g.retire(le, "a key on it cannot be deleted")
	if !g.named(le.ID) {
		g.drop(le)
	}
}

// needed reports whether a node has a use for a lease.
func (g *leaseGroup) needed() bool {
	for n := range g.nodes {
		if !n.forsaken {
			return true
		}
	}
	return false
}

func (g *leaseGroup) drop(le *election.Lease) {
	if stop := g.renewals[le.ID]; stop != nil {
		stop()
		delete(g.renewals, le.ID)
	}
	delete(g.proven, le.ID)
	g.holding.Leases = slices.DeleteFunc(g.holding.Leases, func(other *election.Lease) bool { return other == le })
}

// renew keeps a lease alive from now on.
func (g *leaseGroup) renew(le *election.Lease) {
	ctx, cancel := context.WithCancel(g.l.ctx)
	g.renewals[le.ID] = cancel
	fresh := le.Alive(g.l.clock.Now() + le.TTL*8/10) // just granted
	g.l.leases.Renew(ctx, le.ID, le.TTL, fresh, func(r etcd.Renewal) { g.acknowledged(ctx, le, r) })
}

// acknowledged takes the result of a request to renew, and has it proven.
func (g *leaseGroup) acknowledged(ctx context.Context, le *election.Lease, r etcd.Renewal) {
	switch {
	case ctx.Err() != nil:
	case r.Err != nil:
		g.failed(le, r)
	case r.TTL <= 0 && g.missed.lease == le.ID && r.RaftTerm >= g.missed.raftTerm:
		g.lost(le.ID)
	default:
		g.missed = miss{}
		g.l.counters.renewal.add(r.Took)
		g.l.leases.Prove(le.TTL, r, g.paths, func(raftTerm uint64, err error) { g.renewed(ctx, le, r, raftTerm, err) })
	}
}

// renewed takes a renewal that was proven in a raft term, or was not. A belief that has run out by now ends before anything
// moves.
func (g *leaseGroup) renewed(ctx context.Context, le *election.Lease, r etcd.Renewal, raftTerm uint64, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil && raftTerm != r.RaftTerm {
		err = etcd.ErrUnproven // it is worth another try at once
	}
	if err == nil && r.TTL <= 0 {
		g.missed, err = miss{le.ID, raftTerm}, errMissed
	}
	if r.Err = err; err != nil {
		g.failed(le, r)
		return
	}
	r.Verdict(nil)
	g.l.answering()
	now := g.l.clock.Now()
	g.expire(now)
	le.Sent(r.Sent)
	le.Acked(r.TTL, r.RaftTerm)
	if le.Verified(now, raftTerm) {
		g.refreshed(le)
		g.sweepAfter(le)
		return
	}
	if raftTerm != le.RaftTerm {
		g.retire(le, "etcd has a new leader")
	}
	g.outlived(le, now)
}

// failed lets a renewal that was not made, or not proven, be tried again.
func (g *leaseGroup) failed(le *election.Lease, r etcd.Renewal) {
	r.Verdict(r.Err)
	now := g.l.clock.Now()
	g.expire(now)
	g.l.log.Debug("lease not renewed", "lease", le.ID, "left", le.Deadline-now, "error", r.Err)
	g.l.failing(r.Err)
	g.outlived(le, now)
}

// outlived stops counting on a lease whose time is over.
func (g *leaseGroup) outlived(le *election.Lease, now time.Duration) {
	if !le.Alive(now) {
		g.retire(le, "not renewed in time")
	}
}

// expire ends what has run out of the nodes that the group's leases carry.
func (g *leaseGroup) expire(now time.Duration) {
	for n := range g.nodes {
		if _, ok := g.l.expiry.nodes[n]; ok {
			n.expire(now)
		}
	}
}

// refreshed moves the end of belief of the nodes that lead on a lease.
func (g *leaseGroup) refreshed(le *election.Lease) {
	for n := range g.nodes {
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

func (g *leaseGroup) stepAll(what election.What) {
	for n := range g.nodes {
		n.step(election.Input{What: what})
	}
}

func (l *Locker) leaseIDs() []int64 {
	var ids []int64
	for _, groups := range l.groups {
		for _, g := range groups {
			for _, le := range g.holding.Leases {
				ids = append(ids, le.ID)
			}
		}
	}
	return ids
}
