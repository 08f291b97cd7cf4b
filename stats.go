package locked

import (
	"context"
	"sync/atomic"
	"time"
)

// Stats is what a [Locker] has seen since it was made, and how its nodes stand. The packages metrics and health show them.
type Stats struct {
	Terms          int64            // that its nodes began
	Ends           map[string]int64 // of terms, by cause: expired, transferred, stopped, removed, unhealthy
	Overdue        int64            // terms that were handed over while their work went on
	Dropped        int64            // events that slow subscribers did not get
	DroppedRecords int64            // of the log, that its handler was too slow to take
	Renewal        Latency          // of leases, from the request to the answer
	Verification   Latency          // of renewals: one entry that etcd commits for all of one TTL
	Nodes          []NodeStats      // that run
}

// NodeStats is how a node stands.
type NodeStats struct {
	Path, ID  string
	Selected  bool
	Remaining time.Duration // of its belief to be elected
	Waiting   int           // candidates in the queue, as the node knows it
}

// Latency counts how long something took.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [len(latencyBounds)]uint64 // how many took at most as long as the bound with that index
}

// latencyBounds go from a tenth of a millisecond on a quick disk to the ten seconds of a default TTL.
var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond,
	30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
}

// Bounds are the upper bounds of the buckets of a [Latency].
func (Latency) Bounds() []time.Duration { return latencyBounds[:] }

func (l *Latency) add(d time.Duration) {
	l.Count++
	l.Sum += d
	for i, bound := range latencyBounds {
		if d <= bound {
			l.Buckets[i]++
		}
	}
}

// counters count what a locker has seen since it was made. All but dropped belong to the loop.
type counters struct {
	terms, overdue        int64
	ends                  map[error]int64
	renewal, verification Latency
	dropped               atomic.Int64
}

// Stats gives what the locker has seen. Of one that is closed it is zero.
func (l *Locker) Stats() Stats {
	var s Stats
	_ = l.ask(context.Background(), func(answer func(error)) {
		s = l.stats()
		answer(nil)
	}, nil)
	return s
}

func (l *Locker) stats() Stats {
	c := &l.counters
	s := Stats{
		Terms: c.terms, Ends: map[string]int64{}, Overdue: c.overdue, Dropped: c.dropped.Load(), DroppedRecords: l.records.Dropped(),
		Renewal: c.renewal, Verification: c.verification,
	}
	for cause, name := range causeNames {
		s.Ends[name] = c.ends[cause]
	}
	for path, st := range l.states {
		for _, n := range st.nodes {
			s.Nodes = append(s.Nodes, NodeStats{
				Path: path, ID: n.id, Selected: n.IsSelected(), Remaining: n.Remaining(), Waiting: len(st.view.Queue),
			})
		}
	}
	return s
}
