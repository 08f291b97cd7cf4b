package test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/testhook"
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

// member is one process.
type member struct {
	a      *arena
	name   string
	locker *locked.Locker
	link   *link
	clock  *simClock
	loop   testhook.Loop
	node   *locked.Node
	dead   bool

	mu     sync.Mutex
	events []locked.Event
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

// join adds a member, with a node that is not started.
func (a *arena) join(id string, cfg locked.NodeConfig) *member {
	a.t.Helper()
	m := &member{a: a, name: id, clock: a.clock()}
	var err error
	hooks := testhook.Hooks{Clock: m.clock, DirectLog: true, Loop: func(l testhook.Loop) { m.loop = l }}
	client, link := a.ourClient(fmt.Sprintf("%s-%d", id, len(a.members)), func(cfg *clientv3.Config) {
		cfg.Context = testhook.With(context.Background(), hooks)
		if a.config != nil {
			a.config(cfg)
		}
	})
	m.link = link
	m.locker, err = locked.NewFromClient(client, locked.WithLogger(slog.New(&beliefLog{a: a})))
	a.noError(err)
	cfg.ID, cfg.TTL = id, a.ttl
	if cfg.Value == "" {
		cfg.Value = "v"
	}
	m.node, err = m.locker.Node(a.path, cfg)
	a.noError(err)
	go m.listen(m.node.Events(context.Background()))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = append(a.members, m)
	return m
}

// ourClient is a client as New makes it, but for what a function changes, if there is one.
func (s *sim) ourClient(name string, changed func(*clientv3.Config)) (*clientv3.Client, *link) {
	ours, err := etcd.Config("simulated:1", locked.DefaultRequestTimeout) // which the simulation's own takes the place of
	s.noError(err)
	return s.client(name, func(cfg *clientv3.Config) {
		cfg.DialKeepAliveTime, cfg.DialKeepAliveTimeout = ours.DialKeepAliveTime, ours.DialKeepAliveTimeout
		cfg.DialOptions = append(cfg.DialOptions, ours.DialOptions...)
		if changed != nil {
			changed(cfg)
		}
	})
}

func (m *member) listen(events <-chan locked.Event) {
	for e := range events {
		m.mu.Lock()
		m.events = append(m.events, e)
		m.mu.Unlock()
	}
}

func (m *member) heard() []locked.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

func (m *member) start() {
	m.a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.node.Start(ctx); err != nil {
		m.a.t.Fatalf("at %v: %v", m.a.now(), err)
	}
}

// die ends the member as a crash would: nothing of it reaches etcd any more.
func (m *member) die() {
	m.dead = true
	m.link.sever()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.locker.Close(ctx)
}

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

// beliefLog hears from the lockers' logs when a belief begins and ends: the loop writes them at that very moment.
type beliefLog struct{ a *arena }

var soak = flag.Duration("soak", 0, "how much simulated time TestSoak takes, such as 8760h; 0 for some days")

var simLog = flag.Bool("simlog", false, "log what the lockers in a simulation do")

func (b *beliefLog) Enabled(context.Context, slog.Level) bool { return true }
func (b *beliefLog) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *beliefLog) WithGroup(string) slog.Handler            { return b }

func (b *beliefLog) Handle(_ context.Context, r slog.Record) error {
	if *simLog {
		var s strings.Builder
		r.Attrs(func(at slog.Attr) bool { fmt.Fprintf(&s, " %s", at); return true })
		b.a.t.Logf("%v %s%s", b.a.now(), r.Message, s.String())
	}
	if r.Message != "selected" && r.Message != "deselected" {
		return nil
	}
	attrs := map[string]slog.Value{}
	r.Attrs(func(at slog.Attr) bool { attrs[at.Key] = at.Value; return true })
	if attrs["path"].String() != b.a.path {
		return nil
	}
	who, token := attrs["id"].String(), attrs["token"].Int64()
	b.a.mu.Lock()
	if r.Message == "selected" {
		b.a.terms[token] = who
	} else {
		b.a.ends[fmt.Sprint(attrs["cause"])]++
	}
	b.a.mu.Unlock()
	if r.Message == "selected" {
		b.a.beliefs.gain(who, token)
	} else {
		b.a.beliefs.lose(who)
	}
	return nil
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
