package locked

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// faults of the random simulation. Each does its damage and mends it, within a few TTLs.
var faults = []struct {
	name string
	do   func(a *arena, m *member)
}{
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
	{"transfer", func(a *arena, m *member) {
		ctx, cancel := context.WithTimeout(context.Background(), a.ttl)
		defer cancel()
		_ = m.locker.Transfer(ctx, a.path, "")
	}},
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
	{"restart", func(a *arena, m *member) { a.restart(time.Duration(a.rand().Int64N(int64(2 * a.ttl)))) }},
}

// sleep waits for up to some TTLs.
func (a *arena) sleep(ttls int) {
	time.Sleep(time.Duration(a.rand().Int64N(int64(ttls) * int64(a.ttl))))
}

// deleteOne deletes a key of the election by hand, one of that part. To delete both PATH and its term is not safe, so the
// other one must be as the leader left it; and after that it is left alone until there is a term again.
func (a *arena) deleteOne(part election.Part) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ttl)
	defer cancel()
	all, err := a.admin().Get(ctx, a.path, clientv3.WithPrefix())
	if err != nil {
		return // etcd is down
	}
	mods := map[election.Part]int64{}
	names := map[election.Part]string{}
	for _, kv := range all.Kvs {
		if of, part, _ := election.ParseKey(string(kv.Key)); of == a.path {
			mods[part], names[part] = kv.ModRevision, string(kv.Key)
		}
	}
	if names[part] == "" || part != election.PartQueue && mods[election.PartPath] != mods[election.PartTerm] {
		return
	}
	intact := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(names[part]), "=", mods[part])}
	if part != election.PartQueue {
		for _, p := range []election.Part{election.PartPath, election.PartTerm} {
			intact = append(intact, clientv3.Compare(clientv3.ModRevision(names[p]), "=", mods[p]))
		}
	}
	_, _ = a.admin().Txn(ctx).If(intact...).Then(clientv3.OpDelete(names[part])).Commit()
}

// bounce stops the node and starts it again, whatever of that succeeds in time.
func (m *member) bounce() {
	ctx, cancel := context.WithTimeout(context.Background(), m.a.ttl)
	defer cancel()
	_ = m.node.Stop(ctx)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), m.a.ttl)
		err := m.node.Start(ctx)
		cancel()
		if err == nil || errors.Is(err, ErrStarted) || errors.Is(err, ErrClosed) {
			return
		}
	}
}

// All laws at once, under faults of every kind at random, one after the other with hardly a rest between.
func TestLawsUnderFaults(t *testing.T) {
	rounds, each := 8, 150
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			inArena(t, time.Duration(3+round%3)*time.Second, 2+round%3, func(a *arena) {
				a.edits = true
				a.startAll()
				hits := map[string]int{}
				for range each {
					f := faults[a.rand().IntN(len(faults))]
					m := a.members[a.rand().IntN(len(a.members))]
					if l := a.leader(); l != nil && a.rand().IntN(2) == 0 {
						m = l
					}
					hits[f.name]++
					f.do(a, m)
					time.Sleep(rand.N(a.ttl))
				}
				healed := a.now()
				a.settled()
				if took := a.now() - healed; took > 4*a.ttl {
					a.t.Errorf("law 8: %v after the last fault was mended there was no leader, or somebody had no place", took)
				}
				a.mu.Lock()
				defer a.mu.Unlock()
				a.t.Logf("%v: %d terms, ends %v, faults %v", a.now(), len(a.terms), a.ends, hits)
			})
		})
	}
}
