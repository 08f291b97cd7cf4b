package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/samcday/locked/internal/election"
)

type fault struct {
	name string
	do   func(a *arena, m *member)
}

// faults of the random simulation. Each does its damage and mends it, within a few TTLs.
var faults = []fault{
	{"cut", func(a *arena, m *member) { m.link.cut(); a.sleep(3); m.link.heal() }},
	{"cut up", func(a *arena, m *member) { m.link.cutUp(); a.sleep(3); m.link.heal() }},
	{"cut down", func(a *arena, m *member) { m.link.cutDown(); a.sleep(3); m.link.heal() }},
	{"cut and reset", func(a *arena, m *member) { m.link.cut(); a.sleep(2); m.link.reset(); m.link.heal() }},
	{"severed", func(a *arena, m *member) { m.link.sever(); a.sleep(2); m.link.heal() }},
	{"reset", func(a *arena, m *member) { m.link.reset() }},
	{"delay", func(a *arena, m *member) {
		m.link.delay(0, time.Duration(a.rand().Int64N(int64(a.ttl/4))))
		a.sleep(4)
		m.link.delay(0, 0)
	}},
	{"drip", func(a *arena, m *member) {
		m.link.dripDown(time.Duration(a.rand().Int64N(int64(a.ttl / 4))))
		a.sleep(4)
		m.link.dripDown(0)
	}},
	{"answers lost", func(a *arena, m *member) { m.link.loseAnswer(isWrite).times(1 + a.rand().IntN(3)); a.sleep(1) }},
	{"late commit", func(a *arena, m *member) {
		w := m.link.withhold(isWrite, errFault)
		if m == a.leader() {
			go m.bounce()
		}
		a.sleep(3)
		select {
		case <-w.caught:
			_, _ = w.commit() // it may be too late for it: that is the point
		default:
		}
	}},
	{"requests fail", func(a *arena, m *member) { m.link.fail(isWrite, nil).times(1 + a.rand().IntN(5)); a.sleep(1) }},
	{"no leases", func(a *arena, m *member) {
		r := m.link.fail(byMethod("LeaseGrant"), nil).always()
		m.link.cut()
		a.sleep(2)
		m.link.heal()
		a.sleep(1)
		r.off()
	}},
	{"slow leases", func(a *arena, m *member) {
		m.link.slow(byMethod("LeaseGrant"), a.ttl/2).times(3)
		m.link.cut()
		a.sleep(2)
		m.link.heal()
	}},
	{"sent twice", func(a *arena, m *member) {
		r := m.link.duplicate(isRepeatable, a.luck(2*a.ttl)).always()
		if a.rand().IntN(4) == 0 {
			go m.transfer()
		} else {
			go func() { m.bounce(); m.bounce() }() // so that an entry comes again after the node has left
		}
		a.sleep(3)
		r.off()
	}},
	{"watch broken", func(a *arena, m *member) { m.link.breakStreams(byMethod("Watch"), nil) }},
	{"renewals broken", func(a *arena, m *member) { m.link.breakStreams(byMethod("LeaseKeepAlive"), nil) }},
	{"renewal lost", func(a *arena, m *member) { m.link.loseAnswer(isRenewal).times(1 + a.rand().IntN(4)); a.sleep(2) }},
	{"suspend", func(a *arena, m *member) { m.clock.suspend(time.Duration(a.rand().Int64N(int64(2 * a.ttl)))) }},
	{"stop and start", func(a *arena, m *member) { m.bounce() }},
	{"set value", func(a *arena, m *member) {
		ctx, cancel := context.WithTimeout(context.Background(), a.ttl)
		defer cancel()
		_ = m.node.SetValue(ctx, fmt.Sprint("v", a.rand().IntN(1000)))
	}},
	{"transfer", func(a *arena, m *member) { m.transfer() }},
	{"compaction", func(a *arena, m *member) {
		put, err := a.admin().Put(context.Background(), a.path+"/beside", "x") // nothing can be compacted twice
		a.noError(err)
		a.await("the record", func() bool { return a.recordedUpTo() >= put.Header.Revision })
		m.link.reset()
		a.compact()
	}},
	{"path deleted", func(a *arena, _ *member) { a.deleteOne(election.PartPath) }},
	{"term deleted", func(a *arena, _ *member) { a.deleteOne(election.PartTerm) }},
	{"queue key deleted", func(a *arena, _ *member) { a.deleteOne(election.PartQueue) }},
	{"waiter's lease revoked", func(a *arena, _ *member) { a.revokeWaiting() }},
	{"deposed", func(a *arena, m *member) { restore := m.link.depose(a.ttl); a.sleep(3); restore() }},
	{"loop stands still", func(_ *arena, m *member) { m.standStill(3 * m.a.ttl) }},
	{"restart", func(a *arena, m *member) { a.restart(time.Duration(a.rand().Int64N(int64(2 * a.ttl)))) }},
}

// sleep waits for up to some TTLs.
func (a *arena) sleep(ttls int) {
	time.Sleep(time.Duration(a.rand().Int64N(int64(ttls) * int64(a.ttl))))
}

// luck lets a request come again at once or up to so much later.
func (s *sim) luck(longest time.Duration) luck {
	return func() (later time.Duration, second bool) {
		switch s.rand().IntN(4) {
		case 0:
			return 0, s.rand().IntN(2) == 0
		case 1:
			return time.Duration(s.rand().Int64N(int64(longest))), s.rand().IntN(4) == 0
		}
		return time.Duration(s.rand().Int64N(int64(longest))), false
	}
}

// underFaults lets so many faults happen at random, one after the other with hardly a rest between, and then all be well.
func (a *arena) underFaults(faults []fault, n int) {
	a.edits = true
	a.startAll()
	hits := map[string]int{}
	for range n {
		f := faults[a.rand().IntN(len(faults))]
		m := a.members[a.rand().IntN(len(a.members))]
		if l := a.leader(); l != nil && a.rand().IntN(2) == 0 {
			m = l
		}
		hits[f.name]++
		f.do(a, m)
		time.Sleep(rand.N(a.ttl))
	}
	time.Sleep(2 * a.ttl) // whatever was sent twice has come twice
	healed := a.now()
	a.settled()
	if took := a.now() - healed; took > 4*a.ttl {
		a.t.Errorf("law 8: %v after the last fault was mended there was no leader, or somebody had no place", took)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t.Logf("%v: %d terms, ends %v, faults %v", a.now(), len(a.terms), a.ends, hits)
}
