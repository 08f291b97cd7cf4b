package locked

import (
	"context"
	"time"

	"github.com/samcday/locked/internal/election"
)

// A renewal is proven by agreement. An etcd leader that was stopped and cut off goes on acknowledging renewals, and before
// etcd 3.5.28 and 3.6.9 it can even answer linearizable reads (etcd-io/etcd#20418). What it cannot do in any version is to
// commit an entry: that takes a quorum. So after the acknowledgement one entry is committed that changes nothing; docs/protocol.md,
// section 6, says why equal raft terms then prove the renewal. One entry proves all renewals that were acknowledged before it
// was sent: those of one TTL are made at the same time, and share it.

// proofs are the renewals that wait to be proven. They belong to the loop.
type proofs struct {
	waiting map[time.Duration][]claim       // by TTL
	beats   map[time.Duration]time.Duration // by TTL: a reading of the clock from which renewals are due every period
}

// claim is a renewal that was acknowledged.
type claim struct {
	keeper *keeper
	lease  *election.Lease
	ctx    context.Context // of the renewals of the lease
	renewal
}

// gathering is how long a proof waits for more renewals that it could prove.
const gathering = 10 * time.Millisecond

// proofPaths is how many paths are tried before a user is said not to have the permission that a proof needs.
const proofPaths = 8

// nextBeat is when leases with a TTL are renewed next.
func (l *Locker) nextBeat(now, ttl time.Duration) time.Duration {
	first, ok := l.proofs.beats[ttl]
	if !ok {
		first = now
		l.proofs.beats[ttl] = first
	}
	return now + election.Period(ttl) - (now-first)%election.Period(ttl)
}

// prove has a renewal proven, together with those that come soon.
func (l *Locker) prove(c claim) {
	ttl := c.lease.TTL
	l.proofs.waiting[ttl] = append(l.proofs.waiting[ttl], c)
	if len(l.proofs.waiting[ttl]) == 1 {
		time.AfterFunc(gathering, func() { l.post(func() { l.sendProof(ttl) }) })
	}
}

// sendProof proves all renewals of leases with a TTL that have gathered.
func (l *Locker) sendProof(ttl time.Duration) {
	claims := l.proofs.waiting[ttl]
	delete(l.proofs.waiting, ttl)
	var paths []string
	for _, c := range claims {
		if paths = append(paths, c.keeper.paths()...); len(paths) >= proofPaths {
			break
		}
	}
	ctx, cancel := context.WithDeadline(l.ctx, claims[0].limit)
	l.spawn(func() {
		defer cancel()
		sent := l.clock.Now()
		raftTerm, err := l.etcd.Agree(ctx, paths)
		took := l.clock.Now() - sent
		l.post(func() {
			if err == nil {
				l.counters.verification.add(took)
			}
			for _, c := range claims {
				c.keeper.renewed(c, raftTerm, err)
			}
		})
	})
}

// paths gives some paths that the nodes of the keeper compete for. Which ones is left to chance.
func (k *keeper) paths() (paths []string) {
	for n := range k.nodes {
		if paths = append(paths, n.path); len(paths) == proofPaths {
			break
		}
	}
	return paths
}
