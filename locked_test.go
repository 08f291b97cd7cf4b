package locked

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcdserver"
)

// Tests over a real etcd on a TCP socket. They follow the clock, so they wait for events, and check on the way out: the
// server what its history shows (laws 1 and 5) and that no key is left (law 11), each listener the order of its events
// (laws 3 and 9).

// Law 11: when everything is closed no goroutine is left.
func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		parallel.Value.Set("6") // most tests wait for a clock most of the time
	}
	goleak.VerifyTestMain(m)
}

// soon is how long a test waits for what should happen at once, or within a TTL, on a machine that has other things to do.
const soon = 30 * time.Second

// etcd is a server, and a plain client of it.
type etcd struct {
	*etcdserver.Server
	t      testing.TB
	cfg    etcdserver.Config
	client *clientv3.Client // may do everything
	soiled bool             // tests that write keys of elections by hand answer for the history themselves
}

// server starts an etcd that ends with the test. It waits for the disk only in a benchmark.
func server(t testing.TB, cfg etcdserver.Config) *etcd {
	t.Helper()
	if _, benchmark := t.(*testing.B); !benchmark {
		cfg.NoFsync = true
	}
	s, err := etcdserver.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = s.Addr()
	e := &etcd{Server: s, t: t, cfg: cfg}
	t.Cleanup(func() {
		if e.client != nil {
			e.check()
			e.client.Close()
		}
		if err := e.Close(); err != nil {
			t.Error("etcd:", err)
		}
	})
	if cfg.CertFile == "" {
		e.connect(clientv3.Config{})
	}
	return e
}

func (e *etcd) connect(cfg clientv3.Config) {
	e.t.Helper()
	if e.client != nil {
		e.client.Close()
	}
	cfg.Endpoints, cfg.Logger = []string{e.Endpoint()}, zap.NewNop()
	c, err := clientv3.New(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	e.client = c
}

// stop ends the server, start begins it again on the same directory and port.
func (e *etcd) stop() {
	e.t.Helper()
	if err := e.Close(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *etcd) start() {
	e.t.Helper()
	s, err := etcdserver.Start(context.Background(), e.cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	e.Server = s
}

// check is done when all lockers are closed. It passes over what was compacted.
func (e *etcd) check() {
	if e.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	e.checkEmpty(ctx)
	if !e.soiled {
		e.checkHistory(ctx)
	}
}

// checkEmpty: law 11, no key outlives its locker by more than a TTL, which is over when its lease is.
func (e *etcd) checkEmpty(ctx context.Context) {
	for {
		resp, err := e.client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			e.t.Error("keys left, or etcd does not answer:", err)
			return
		}
		var left []string
		for _, kv := range resp.Kvs {
			if kv.Lease != 0 || strings.Contains(string(kv.Key), election.Separator) {
				left = append(left, string(kv.Key))
			}
		}
		if len(left) == 0 {
			return
		}
		if until, _ := ctx.Deadline(); time.Until(until) < time.Second {
			e.t.Errorf("left in etcd: %q", left)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// history gives all that happened to the keys that begin with a prefix since a revision, a slice for each revision.
func (e *etcd) history(prefix string, from int64) [][]*clientv3.Event {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	end, err := e.client.Put(ctx, "end of history", "")
	if err != nil {
		e.t.Fatal(err)
	}
	var out [][]*clientv3.Event
	for resp := range e.client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := resp.Err(); err != nil {
			e.t.Fatal(err)
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision >= end.Header.Revision {
				return out
			}
			if !strings.HasPrefix(string(ev.Kv.Key), prefix) {
				continue
			}
			if n := len(out); n > 0 && out[n-1][0].Kv.ModRevision == ev.Kv.ModRevision {
				out[n-1] = append(out[n-1], ev)
			} else {
				out = append(out, []*clientv3.Event{ev})
			}
		}
	}
	e.t.Fatal("history is not complete")
	return nil
}

// checkHistory: law 1, at each revision at most one term; law 5, only the head of the queue follows a leader, unless a
// transfer names another one.
func (e *etcd) checkHistory(ctx context.Context) {
	now, err := e.client.Get(ctx, "x")
	if err != nil {
		e.t.Error(err)
		return
	}
	first, err := e.client.Get(ctx, "x", clientv3.WithRev(1))
	if err != nil || first.Header.Revision != now.Header.Revision {
		return // compacted
	}
	elections := map[string]*replay{}
	for _, events := range e.history("", 1) {
		touched := map[*replay][]*clientv3.Event{}
		for _, ev := range events {
			path, part, _ := election.ParseKey(string(ev.Kv.Key))
			if part == election.PartPath {
				continue
			}
			if elections[path] == nil {
				elections[path] = &replay{t: e.t, path: path, terms: map[string]bool{}}
			}
			touched[elections[path]] = append(touched[elections[path]], ev)
		}
		for r, events := range touched {
			r.apply(events)
		}
	}
}

// replay is one election as its history shows it.
type replay struct {
	t        testing.TB
	path     string
	terms    map[string]bool // nonces
	queue    []string        // nonces in order
	transfer bool
}

func (r *replay) apply(events []*clientv3.Event) {
	queue, transfer := slices.Clone(r.queue), r.transfer
	vacant := len(r.terms) == 0
	var began string
	for _, ev := range events {
		_, part, nonce := election.ParseKey(string(ev.Kv.Key))
		deleted := ev.Type == mvccpb.DELETE
		switch part {
		case election.PartTerm:
			if delete(r.terms, nonce); !deleted {
				r.terms[nonce] = true
			}
			if ev.IsCreate() {
				began = nonce
			}
		case election.PartQueue:
			i := slices.Index(r.queue, nonce)
			switch {
			case deleted && i >= 0:
				r.queue = slices.Delete(r.queue, i, i+1)
			case !deleted && i < 0:
				r.queue = append(r.queue, nonce)
			}
		case election.PartTransfer:
			r.transfer = !deleted
		}
	}
	revision := events[0].Kv.ModRevision
	if len(r.terms) > 1 {
		r.t.Errorf("%s has %d terms at revision %d", r.path, len(r.terms), revision)
	}
	if began == "" || len(queue) == 0 || transfer || began == queue[0] {
		return
	}
	if slices.Contains(queue, began) || vacant {
		r.t.Errorf("%s: %s was elected at revision %d before the queue %v", r.path, began, revision, queue)
	}
}

// dial gives a plain client that ends with the test.
func dial(t testing.TB, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	cfg.Logger = zap.NewNop()
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// locker gives a Locker that ends with the test.
func locker(t testing.TB, endpoint string, opts ...Option) *Locker {
	t.Helper()
	l, err := New(endpoint, append(testOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, l)
}

// lockerOn gives a Locker on a client, that ends with the test.
func lockerOn(t testing.TB, c *clientv3.Client, opts ...Option) *Locker {
	t.Helper()
	l, err := NewFromClient(c, append(testOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, l)
}

func testOptions() []Option {
	if os.Getenv("LOCKED_TEST_LOG") == "" {
		return nil
	}
	return []Option{WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))}
}

func closing(t testing.TB, l *Locker) *Locker {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error("close:", err)
		}
	})
	return l
}

// candidate gives a node with a value named after its id, and a TTL that is longer than any hitch of the machine: it loses
// its lease only if the test sees to that.
func candidate(t testing.TB, l *Locker, path, id string) *Node {
	t.Helper()
	return candidateFor(t, l, path, id, time.Minute)
}

// candidateFor gives one with another TTL. One that is short can run out when the machine is busy.
func candidateFor(t testing.TB, l *Locker, path, id string, ttl time.Duration) *Node {
	t.Helper()
	return node(t, l, path, NodeConfig{ID: id, Value: "value of " + id, TTL: ttl})
}

// start starts nodes one after the other.
func start(t testing.TB, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func stop(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Stop(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// patient gives a context for what should be done soon.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

// listener notes all events of a channel.
type listener struct {
	t    testing.TB
	name string

	mu     sync.Mutex
	events []Event
	wake   chan struct{}

	next int // of the events, to be looked at by await
	done chan struct{}
}

// listen listens to a node until the test ends.
func listen(t testing.TB, n *Node) *listener {
	t.Helper()
	return listenTo(t, n.LocalID(), n.Events(t.Context()))
}

// observe watches a path until the test ends.
func observe(t testing.TB, l *Locker, path string) *listener {
	t.Helper()
	return listenTo(t, "observer of "+path, l.Watch(t.Context(), path))
}

func listenTo(t testing.TB, name string, events <-chan Event) *listener {
	l := &listener{t: t, name: name, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for e := range events {
			l.mu.Lock()
			l.events = append(l.events, e)
			l.mu.Unlock()
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		select {
		case <-l.done:
		case <-time.After(soon):
			t.Error(name, "is still told events after its context has ended")
		}
		l.check()
		if t.Failed() {
			t.Logf("%s was told:%s", name, l)
		}
	})
	return l
}

func (l *listener) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for i, e := range l.events {
		if (e.Kind == Ping || e.Kind == Refresh) && i > 1 && (l.events[i-2].Kind == e.Kind || l.events[i-1].Kind == e.Kind) {
			continue
		}
		fmt.Fprintf(&b, "\n\t%s %d %.300s", e.At.Format("05.000"), e.Revision, e)
	}
	return b.String()
}

// so far gives the events that were noted.
func (l *listener) soFar() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// await gives the next event of a kind that meets the conditions, and passes over others.
func (l *listener) await(kind Kind, conditions ...func(Event) bool) Event {
	l.t.Helper()
	timeout := time.After(soon)
	for {
		events := l.soFar()
		for l.next < len(events) {
			e := events[l.next]
			l.next++
			if e.Kind == kind && !slices.ContainsFunc(conditions, func(c func(Event) bool) bool { return !c(e) }) {
				return e
			}
		}
		select {
		case <-l.wake:
		case <-l.done:
			if len(l.soFar()) == len(events) {
				l.t.Fatalf("%s was told of no %s until the end", l.name, kind)
			}
		case <-timeout:
			l.t.Fatalf("%s was told of no %s in time", l.name, kind)
		}
	}
}

// rewind makes await begin at the first event again.
func (l *listener) rewind() { l.next = 0 }

func of(id string) func(Event) bool { return func(e Event) bool { return e.ID == id } }

func value(v string) func(Event) bool { return func(e Event) bool { return e.Value == v } }

func because(cause error) func(Event) bool {
	return func(e Event) bool { return e.Cause == cause }
}

func naming(parts ...string) func(Event) bool {
	return func(e Event) bool {
		return e.Cause != nil && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(e.Cause.Error(), p) })
	}
}

// count tells how many events of a kind were noted.
func (l *listener) count(kind Kind) int {
	n := 0
	for _, e := range l.soFar() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// check: law 9, changes come in the order of their revisions, select and deselect alternate, a deselect says why; law 3,
// tokens grow.
func (l *listener) check() {
	var revision, token int64
	selected := false
	for _, e := range l.soFar() {
		wrong := func(what string) { l.t.Errorf("%s was told %v: %s", l.name, e, what) }
		if e.At.IsZero() || e.Path == "" {
			wrong("without time or path")
		}
		switch e.Kind {
		case Change, Vacant:
			if e.Revision <= revision {
				wrong(fmt.Sprintf("at revision %d after %d", e.Revision, revision))
			}
			revision = e.Revision
			if e.Kind == Change && e.Token < token {
				wrong("with a smaller token than before")
			}
			token = max(token, e.Token)
		case Select:
			if selected || e.Token == 0 || e.Token < token {
				wrong("selected again, or with an old token")
			}
			selected = true
		case Deselect:
			if !selected || e.Cause == nil {
				wrong("deselected without being selected, or without a cause")
			}
			selected = false
		case Error:
			if e.Cause == nil {
				wrong("without a cause")
			}
		}
	}
}

// believing watches over nodes of one path until the test ends: law 2, at most one of them is selected at any instant.
func believing(t testing.TB, nodes ...*Node) {
	var watching sync.WaitGroup
	end := make(chan struct{})
	watching.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-end:
				return
			}
			for i, a := range nodes {
				for _, b := range nodes[i+1:] {
					// A belief never revives: the first held all the time between the two readings of its token.
					if before := a.Token(); before != 0 && b.IsSelected() && a.Token() == before {
						t.Errorf("%s and %s are selected at the same time", a.LocalID(), b.LocalID())
						return
					}
				}
			}
		}
	})
	t.Cleanup(func() {
		close(end)
		watching.Wait()
	})
}

// get reads one key, as any etcd client would.
func (e *etcd) get(key string) *mvccpb.KeyValue {
	e.t.Helper()
	resp, err := e.client.Get(patient(e.t), key)
	if err != nil {
		e.t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

// want checks the value of a key.
func (e *etcd) want(key, value string) {
	e.t.Helper()
	if kv := e.get(key); kv == nil || string(kv.Value) != value {
		e.t.Errorf("%s is %v, want %.100q", key, kv, value)
	}
}

// keys lists the keys that begin with a prefix, in order.
func (e *etcd) keys(prefix string) []*mvccpb.KeyValue {
	e.t.Helper()
	resp, err := e.client.Get(patient(e.t), prefix, clientv3.WithPrefix())
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Kvs
}

// only gives the one key that begins with a prefix.
func (e *etcd) only(prefix string) *mvccpb.KeyValue {
	e.t.Helper()
	kvs := e.keys(prefix)
	if len(kvs) != 1 {
		e.t.Fatalf("%d keys begin with %s, want one: %v", len(kvs), prefix, kvs)
	}
	return kvs[0]
}

func (e *etcd) put(key, value string) int64 {
	e.t.Helper()
	e.soiled = true
	resp, err := e.client.Put(patient(e.t), key, value)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Header.Revision
}

func (e *etcd) delete(key string) int64 {
	e.t.Helper()
	e.soiled = true
	resp, err := e.client.Delete(patient(e.t), key)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Header.Revision
}

func (e *etcd) revoke(lease int64) {
	e.t.Helper()
	e.soiled = true
	if _, err := e.client.Revoke(patient(e.t), clientv3.LeaseID(lease)); err != nil {
		e.t.Fatal(err)
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time:", what)
		}
	}
}
