package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// arena is an election in simulated time, between members with a locker and a link each. All that happens in etcd is
// recorded, and all that the members believe and are told; check holds it against the laws.
type arena struct {
	*sim
	path    string
	ttl     time.Duration
	beliefs *leaderHistory
	clean   bool                   // no lease ends while somebody waits: law 6 holds without exception
	edits   bool                   // somebody deletes keys by hand, PATH too
	overlap bool                   // leases of leaders are revoked by hand: two may believe to lead
	config  func(*clientv3.Config) // of the members' clients, nil for what New makes

	mu       sync.Mutex
	members  []*member
	terms    map[int64]string // token: id of the node that was told that it is elected
	ends     map[string]int   // cause of a deselect: how often
	etcd     []revision
	readFrom int64
	stop     context.CancelFunc
	stopped  chan struct{}
}

// revision is what changed at one revision of etcd.
type revision struct {
	number  int64
	changes []election.Change
}

func newArena(s *sim, path string, ttl time.Duration) *arena {
	a := &arena{
		sim: s, path: path, ttl: ttl, beliefs: s.history(path), terms: map[int64]string{}, ends: map[string]int{},
		readFrom: 1, stopped: make(chan struct{}),
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	go a.record(ctx)
	return a
}

// record reads everything that etcd does, across restarts.
func (a *arena) record(ctx context.Context) {
	defer close(a.stopped)
	for ctx.Err() == nil {
		srv := a.running()
		if srv == nil {
			sleep(ctx, 50*time.Millisecond) // outages are long
			continue
		}
		w := srv.admin.Watch(ctx, a.path, clientv3.WithPrefix(), clientv3.WithRev(a.readFrom))
		for resp := range w {
			for _, e := range resp.Events {
				a.recorded(e)
			}
		}
	}
}

// recordedUpTo is the last revision that was recorded.
func (a *arena) recordedUpTo() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readFrom - 1
}

func (a *arena) recorded(e *clientv3.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := e.Kv.ModRevision
	if len(a.etcd) == 0 || a.etcd[len(a.etcd)-1].number != n {
		a.etcd = append(a.etcd, revision{number: n})
	}
	last := &a.etcd[len(a.etcd)-1]
	last.changes = append(last.changes, etcd.Change(e.Kv, e.Type == mvccpb.DELETE))
	a.readFrom = n + 1
}

// mayOverlap gives up law 2, and with it what the beliefs say of law 3.
func (a *arena) mayOverlap() { a.overlap, a.histories = true, nil }

// finish closes all members and holds what happened against the laws.
func (a *arena) finish() {
	a.t.Helper()
	for _, m := range a.members {
		if !m.dead {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if err := m.locker.Close(ctx); err != nil {
				a.t.Errorf("closing %s: %v", m.name, err)
			}
			cancel()
		}
	}
	time.Sleep(2 * a.ttl) // law 11: no key outlives Close by more than a TTL
	left, err := a.admin().Get(context.Background(), a.path, clientv3.WithPrefix())
	a.noError(err)
	for _, kv := range left.Kvs {
		if path, _, _ := election.ParseKey(string(kv.Key)); path != a.path {
			continue
		}
		a.t.Errorf("law 11: %s is left after everybody has closed", kv.Key)
	}
	a.stop()
	<-a.stopped
	a.check()
}

// causes tells for which causes terms have ended, and how often.
func (a *arena) causes() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.ends)
}

// leader is the member that believes to be elected, nil if none does.
func (a *arena) leader() *member {
	a.t.Helper()
	var found *member
	for _, m := range a.members {
		if !m.dead && m.node.IsSelected() {
			if found != nil && !a.overlap {
				a.t.Errorf("law 2: at %v %s and %s are selected", a.now(), found.name, m.name)
			}
			found = m
		}
	}
	return found
}

// await waits until something holds, for a while of simulated time.
func (a *arena) await(what string, f func() bool) {
	a.t.Helper()
	for limit := a.now() + 10*time.Minute; !f(); time.Sleep(10 * time.Millisecond) {
		if a.now() > limit {
			a.t.Errorf("at %v: waited ten minutes for %s", a.now(), what)
			a.dump()
			panic("see above") // a simulation cannot end while goroutines of it wait
		}
	}
}

func (a *arena) awaitLeader() *member {
	a.t.Helper()
	a.await("a leader", func() bool { return a.leader() != nil })
	return a.leader()
}

func (a *arena) alive() []*member {
	return slices.DeleteFunc(slices.Clone(a.members), func(m *member) bool { return m.dead })
}

// dump logs what the members know.
func (a *arena) dump() {
	for _, m := range a.alive() {
		a.t.Logf("%s: selected %v, leader %+v, %+v", m.name, m.node.IsSelected(), m.node.Leader(), m.locker.Stats())
	}
}

func inArena(t *testing.T, ttl time.Duration, members int, f func(a *arena)) {
	t.Helper()
	simulate(t, func(s *sim) {
		a := newArena(s, "/race", ttl)
		for i := range members {
			a.join(fmt.Sprint("n", i), locked.NodeConfig{})
		}
		f(a)
		a.finish()
	})
}

func (a *arena) startAll() {
	for _, m := range a.members {
		m.start()
	}
}

// settled waits until every member that lives leads or waits, and one of them leads and knows it.
func (a *arena) settled() {
	a.t.Helper()
	a.await("all to be candidates again", func() bool {
		srv := a.running()
		if srv == nil || a.leader() == nil {
			return false
		}
		got, err := srv.admin.Get(context.Background(), a.path+":::", clientv3.WithPrefix())
		a.noError(err)
		view := etcd.View(a.path, got)
		return view.Term.Exists() && len(view.Queue) == len(a.alive())-1 && holderOf(view.Term) == a.leader().name
	})
}

// forget drops what the arena itself has recorded.
func (a *arena) forget() {
	for _, m := range a.members {
		m.link.forget()
		m.mu.Lock()
		var kept []locked.Event
		for _, e := range m.events { // select and deselect have to alternate
			switch e.Kind {
			case locked.EventSelect:
				kept = []locked.Event{e}
			case locked.EventDeselect:
				kept = nil
			}
		}
		m.events = kept
		m.mu.Unlock()
	}
}

// view is the election as etcd has it.
func (a *arena) view() *election.View {
	got, err := a.admin().Get(context.Background(), a.path, clientv3.WithPrefix(), clientv3.WithSerializable())
	a.noError(err)
	return etcd.View(a.path, got)
}
