package sim

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

// Arena is an election in simulated time, between members with a locker and a link each. All that happens in etcd is
// recorded, and all that the members believe and are told; check holds it against the laws.
type Arena struct {
	*Sim
	Path    string
	TTL     time.Duration
	Beliefs *History
	Clean   bool                   // no lease ends while somebody waits: law 6 holds without exception
	Edits   bool                   // somebody deletes keys by hand, PATH too
	overlap bool                   // leases of leaders are revoked by hand: two may believe to lead
	Config  func(*clientv3.Config) // of the members' clients, nil for what New makes

	mu       sync.Mutex
	Members  []*Member
	terms    map[int64]string // token: id of the node that was told that it is elected
	ends     map[string]int   // cause of a deselect: how often
	before   election.View    // the election before the revisions below
	etcd     []revision
	earlier  map[int64][]string // revision: data of terms, of an etcd that has gone back since
	backs    int64              // how often it has
	readFrom int64
	stop     context.CancelFunc
	stopped  chan struct{}
}

// revision is what changed at one revision of etcd.
type revision struct {
	number  int64
	changes []election.Change
}

// NewArena gives an election without members. Its TTL is that of all who join. Finish has to be called at the end.
func NewArena(s *Sim, path string, ttl time.Duration) *Arena {
	a := &Arena{
		Sim: s, Path: path, TTL: ttl, Beliefs: s.History(path), terms: map[int64]string{}, earlier: map[int64][]string{}, ends: map[string]int{},
		readFrom: 1, stopped: make(chan struct{}),
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	go a.record(ctx)
	return a
}

// record reads everything that etcd does, across restarts.
func (a *Arena) record(ctx context.Context) {
	defer close(a.stopped)
	for ctx.Err() == nil {
		srv := a.running()
		if srv == nil {
			Sleep(ctx, 50*time.Millisecond) // outages are long
			continue
		}
		a.mu.Lock()
		from, backs := a.readFrom, a.backs
		a.mu.Unlock()
		w := srv.admin.Watch(ctx, a.Path, clientv3.WithPrefix(), clientv3.WithRev(from))
		for resp := range w {
			for _, e := range resp.Events {
				a.recorded(e, backs)
			}
		}
	}
}

// recordedUpTo is the last revision that was recorded.
func (a *Arena) recordedUpTo() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readFrom - 1
}

// recorded takes an event of etcd as it is after it has gone back so many times.
func (a *Arena) recorded(e *clientv3.Event, backs int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if backs != a.backs {
		return
	}
	n := e.Kv.ModRevision
	if len(a.etcd) == 0 || a.etcd[len(a.etcd)-1].number != n {
		a.etcd = append(a.etcd, revision{number: n})
	}
	last := &a.etcd[len(a.etcd)-1]
	last.changes = append(last.changes, etcd.Change(e.Kv, e.Type == mvccpb.DELETE))
	a.readFrom = n + 1
}

// MayOverlap gives up law 2, and with it what the beliefs say of law 3.
func (a *Arena) MayOverlap() { a.overlap, a.histories = true, nil }

// Finish closes all members and holds what happened against the laws.
func (a *Arena) Finish() {
	a.T.Helper()
	for _, m := range a.Members {
		if !m.Dead {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if err := m.Locker.Close(ctx); err != nil {
				a.T.Errorf("closing %s: %v", m.Name, err)
			}
			cancel()
		}
	}
	time.Sleep(2 * a.TTL) // law 11: no key outlives Close by more than a TTL
	left, err := a.Admin().Get(context.Background(), a.Path, clientv3.WithPrefix())
	a.NoError(err)
	for _, kv := range left.Kvs {
		if path, _, _ := election.ParseKey(string(kv.Key)); path != a.Path {
			continue
		}
		a.T.Errorf("law 11: %s is left after everybody has closed", kv.Key)
	}
	a.stop()
	<-a.stopped
	a.check()
}

// Causes tells for which causes terms have ended, and how often.
func (a *Arena) Causes() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.ends)
}

// Leader is the member that believes to be elected, nil if none does.
func (a *Arena) Leader() *Member {
	a.T.Helper()
	var found *Member
	for _, m := range a.Members {
		if !m.Dead && m.Node.IsSelected() {
			if found != nil && !a.overlap {
				a.T.Errorf("law 2: at %v %s and %s are selected", a.Now(), found.Name, m.Name)
			}
			found = m
		}
	}
	return found
}

// Await waits until something holds, for ten minutes of simulated time.
func (a *Arena) Await(what string, f func() bool) {
	a.T.Helper()
	for limit := a.Now() + 10*time.Minute; !f(); time.Sleep(10 * time.Millisecond) {
		if a.Now() > limit {
			a.T.Errorf("at %v: waited ten minutes for %s", a.Now(), what)
			a.dump()
			panic("see above") // a simulation cannot end while goroutines of it wait
		}
	}
}

// AwaitLeader waits until a member believes to be elected.
func (a *Arena) AwaitLeader() *Member {
	a.T.Helper()
	a.Await("a leader", func() bool { return a.Leader() != nil })
	return a.Leader()
}

// Alive are the members that have not died or closed.
func (a *Arena) Alive() []*Member {
	return slices.DeleteFunc(slices.Clone(a.Members), func(m *Member) bool { return m.Dead })
}

// dump logs what the members know.
func (a *Arena) dump() {
	for _, m := range a.Alive() {
		a.T.Logf("%s: selected %v, leader %+v, %+v", m.Name, m.Node.IsSelected(), m.Node.Leader(), m.Locker.Stats())
	}
}

// InArena runs f in a simulation of an election at /race with so many members, n0, n1 and so on, none of which is started. On the
// way out it closes them, and holds all that happened against the laws.
func InArena(t *testing.T, ttl time.Duration, members int, f func(a *Arena)) {
	t.Helper()
	Run(t, func(s *Sim) {
		a := NewArena(s, "/race", ttl)
		for i := range members {
			a.Join(fmt.Sprint("n", i), locked.NodeConfig{})
		}
		f(a)
		a.Finish()
	})
}

// StartAll starts the nodes of all members, one after the other.
func (a *Arena) StartAll() {
	for _, m := range a.Members {
		m.Start()
	}
}

// AwaitSettled waits until every member that lives leads or waits, and one of them leads and knows it.
func (a *Arena) AwaitSettled() {
	a.T.Helper()
	a.Await("all to be candidates again", func() bool {
		srv := a.running()
		if srv == nil || a.Leader() == nil {
			return false
		}
		got, err := srv.admin.Get(context.Background(), a.Path+":::", clientv3.WithPrefix())
		a.NoError(err)
		view := etcd.View(a.Path, got)
		return view.Term.Exists() && len(view.Queue) == len(a.Alive())-1 && holderOf(view.Term) == a.Leader().Name
	})
}

// Forget holds what the arena has recorded of the keys and the beliefs against the laws, and drops it, and what the members were told.
func (a *Arena) Forget() {
	a.T.Helper()
	a.mu.Lock()
	a.checkKeys()
	a.checkTerms()
	a.each(func(_, after *election.View, _ revision) { a.before = *after })
	a.etcd = nil
	maps.DeleteFunc(a.terms, func(token int64, _ string) bool { return token < a.before.Term.Create })
	a.mu.Unlock()
	a.Beliefs.forget()
	for _, m := range a.Members {
		m.Link.Forget()
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

// View is the election as etcd has it.
func (a *Arena) View() *election.View {
	got, err := a.Admin().Get(context.Background(), a.Path, clientv3.WithPrefix(), clientv3.WithSerializable())
	a.NoError(err)
	return etcd.View(a.Path, got)
}
