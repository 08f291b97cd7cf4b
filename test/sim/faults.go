package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/samcday/locked/internal/election"
)

// Fault is something that goes wrong for a while, with a member or with etcd.
type Fault struct {
	Name string
	Do   func(a *Arena, m *Member)
}

// Faults are those of the random simulation. Each does its damage and mends it, within a few TTLs.
var Faults = []Fault{
	{"cut", func(a *Arena, m *Member) { m.Link.Cut(); a.Pause(3); m.Link.Heal() }},
	{"cut up", func(a *Arena, m *Member) { m.Link.CutUp(); a.Pause(3); m.Link.Heal() }},
	{"cut down", func(a *Arena, m *Member) { m.Link.CutDown(); a.Pause(3); m.Link.Heal() }},
	{"cut and reset", func(a *Arena, m *Member) { m.Link.Cut(); a.Pause(2); m.Link.Reset(); m.Link.Heal() }},
	{"severed", func(a *Arena, m *Member) { m.Link.Sever(); a.Pause(2); m.Link.Heal() }},
	{"reset", func(a *Arena, m *Member) { m.Link.Reset() }},
	{"delay", func(a *Arena, m *Member) {
		m.Link.Delay(0, time.Duration(a.Rand().Int64N(int64(a.TTL/4))))
		a.Pause(4)
		m.Link.Delay(0, 0)
	}},
	{"drip", func(a *Arena, m *Member) {
		m.Link.DripDown(time.Duration(a.Rand().Int64N(int64(a.TTL / 4))))
		a.Pause(4)
		m.Link.DripDown(0)
	}},
	{"answers lost", func(a *Arena, m *Member) { m.Link.LoseAnswer(IsWrite).Times(1 + a.Rand().IntN(3)); a.Pause(1) }},
	{"late commit", func(a *Arena, m *Member) {
		w := m.Link.Withhold(IsWrite, ErrFault)
		if m == a.Leader() {
			go m.Bounce()
		}
		a.Pause(3)
		select {
		case <-w.Caught:
			_, _ = w.Commit() // it may be too late for it: that is the point
		default:
		}
	}},
	{"requests fail", func(a *Arena, m *Member) { m.Link.Fail(IsWrite, nil).Times(1 + a.Rand().IntN(5)); a.Pause(1) }},
	{"no leases", func(a *Arena, m *Member) {
		r := m.Link.Fail(ByMethod("LeaseGrant"), nil).Always()
		m.Link.Cut()
		a.Pause(2)
		m.Link.Heal()
		a.Pause(1)
		r.Off()
	}},
	{"slow leases", func(a *Arena, m *Member) {
		m.Link.Slow(ByMethod("LeaseGrant"), a.TTL/2).Times(3)
		m.Link.Cut()
		a.Pause(2)
		m.Link.Heal()
	}},
	{"sent twice", func(a *Arena, m *Member) {
		r := m.Link.Duplicate(IsRepeatable, a.Luck(2*a.TTL)).Always()
		if a.Rand().IntN(4) == 0 {
			go m.Transfer()
		} else {
			go func() { m.Bounce(); m.Bounce() }() // so that an entry comes again after the node has left
		}
		a.Pause(3)
		r.Off()
	}},
	{"watch broken", func(a *Arena, m *Member) { m.Link.BreakStreams(ByMethod("Watch"), nil) }},
	{"renewals broken", func(a *Arena, m *Member) { m.Link.BreakStreams(ByMethod("LeaseKeepAlive"), nil) }},
	{"renewal lost", func(a *Arena, m *Member) { m.Link.LoseAnswer(IsRenewal).Times(1 + a.Rand().IntN(4)); a.Pause(2) }},
	{"suspend", func(a *Arena, m *Member) { m.Clock.Suspend(time.Duration(a.Rand().Int64N(int64(2 * a.TTL)))) }},
	{"stop and start", func(a *Arena, m *Member) { m.Bounce() }},
	{"set value", func(a *Arena, m *Member) {
		ctx, cancel := context.WithTimeout(context.Background(), a.TTL)
		defer cancel()
		_ = m.Node.SetValue(ctx, fmt.Sprint("v", a.Rand().IntN(1000)))
	}},
	{"transfer", func(a *Arena, m *Member) { m.Transfer() }},
	{"compaction", func(a *Arena, m *Member) {
		put, err := a.Admin().Put(context.Background(), a.Path+"/beside", "x") // nothing can be compacted twice
		a.NoError(err)
		a.Await("the record", func() bool { return a.recordedUpTo() >= put.Header.Revision })
		m.Link.Reset()
		a.Compact()
	}},
	{"path deleted", func(a *Arena, _ *Member) { a.Delete(election.PartPath) }},
	{"term deleted", func(a *Arena, _ *Member) { a.Delete(election.PartTerm) }},
	{"queue key deleted", func(a *Arena, _ *Member) { a.Delete(election.PartQueue) }},
	{"waiter's lease revoked", func(a *Arena, _ *Member) { a.RevokeWaiting() }},
	{"deposed", func(a *Arena, m *Member) { restore := m.Link.Depose(a.TTL); a.Pause(3); restore() }},
	{"loop stands still", func(_ *Arena, m *Member) { m.StandStill(3 * m.a.TTL) }},
	{"gone back", func(a *Arena, m *Member) {
		b := Backup{}
		if a.Rand().IntN(2) == 0 {
			b = a.BackUp()
			a.Pause(2)
			m.Bounce()
		}
		a.GoBack(b, time.Duration(a.Rand().Int64N(int64(2*a.TTL))))
		a.Pause(3)
	}},
	{"restart", func(a *Arena, m *Member) { a.Restart(time.Duration(a.Rand().Int64N(int64(2 * a.TTL)))) }},
}

// Pause waits for up to some TTLs.
func (a *Arena) Pause(ttls int) {
	time.Sleep(time.Duration(a.Rand().Int64N(int64(ttls) * int64(a.TTL))))
}

// Luck lets a request come again at once or up to so much later.
func (s *Sim) Luck(longest time.Duration) Luck {
	return func() (later time.Duration, second bool) {
		switch s.Rand().IntN(4) {
		case 0:
			return 0, s.Rand().IntN(2) == 0
		case 1:
			return time.Duration(s.Rand().Int64N(int64(longest))), s.Rand().IntN(4) == 0
		}
		return time.Duration(s.Rand().Int64N(int64(longest))), false
	}
}

// UnderFaults lets so many faults happen at random, one after the other with hardly a rest between, and then all be well.
func (a *Arena) UnderFaults(faults []Fault, n int) {
	a.Edits = true
	a.StartAll()
	hits := map[string]int{}
	for range n {
		f := faults[a.Rand().IntN(len(faults))]
		m := a.Members[a.Rand().IntN(len(a.Members))]
		if l := a.Leader(); l != nil && a.Rand().IntN(2) == 0 {
			m = l
		}
		hits[f.Name]++
		f.Do(a, m)
		time.Sleep(rand.N(a.TTL))
	}
	time.Sleep(2 * a.TTL) // whatever was sent twice has come twice
	healed := a.Now()
	a.AwaitSettled()
	if took := a.Now() - healed; took > 4*a.TTL {
		a.T.Errorf("law 8: %v after the last fault was mended there was no leader, or somebody had no place", took)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.T.Logf("%v: %d terms, ends %v, faults %v", a.Now(), len(a.terms), a.ends, hits)
}
