package test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
	"github.com/samcday/locked/internal/testhook"
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
const soon = time.Minute

// etcd is a server, and a plain client of it.
type etcdServer struct {
	etcdtest.Server
	t      testing.TB
	cfg    etcdserver.Config
	client *clientv3.Client // may do everything
	soiled bool             // tests that write keys of elections by hand answer for the history themselves
}

// server starts an etcd that ends with the test. It waits for the disk only in a benchmark.
func server(t testing.TB, cfg etcdserver.Config) *etcdServer {
	t.Helper()
	if _, benchmark := t.(*testing.B); !benchmark {
		cfg.NoFsync = true
	}
	cfg.Listen = hitch.Addr(t) // to be found there again after a stop
	s, err := etcdtest.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &etcdServer{Server: s, t: t, cfg: cfg}
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

func (e *etcdServer) connect(cfg clientv3.Config) {
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
	e.get("connected") // what writes is not repeated when a connection breaks as it begins
}

// stop ends the server, start begins it again on the same directory and port.
func (e *etcdServer) stop() {
	e.t.Helper()
	if err := e.Close(); err != nil {
		e.t.Fatal(err)
	}
}

// replace puts an empty etcd in the server's place.
func (e *etcdServer) replace() {
	e.t.Helper()
	e.stop()
	e.soiled, e.cfg.DataDir = true, e.t.TempDir()
	e.start()
}

func (e *etcdServer) start() {
	e.t.Helper()
	s, err := etcdtest.Start(context.Background(), e.cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	e.Server = s
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
func locker(t testing.TB, endpoint string, opts ...locked.Option) *locked.Locker {
	t.Helper()
	l, err := locked.New(endpoint, append(testOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, l)
}

// lockerWithLoop gives a Locker that ends with the test, and what makes its loop do something.
func lockerWithLoop(t testing.TB, endpoint string) (l *locked.Locker, loop testhook.Loop) {
	t.Helper()
	hooks := testhook.Hooks{Loop: func(given testhook.Loop) { loop = given }}
	l = lockerOn(t, dial(t, clientv3.Config{Endpoints: []string{endpoint}, Context: testhook.With(context.Background(), hooks)}))
	return l, loop
}

// lockerOn gives a Locker on a client, that ends with the test.
func lockerOn(t testing.TB, c *clientv3.Client, opts ...locked.Option) *locked.Locker {
	t.Helper()
	l, err := locked.NewFromClient(c, append(testOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, l)
}

// testOptions let a request take longer than any hitch of the machine.
func testOptions() []locked.Option {
	options := []locked.Option{locked.WithRequestTimeout(20 * time.Second)}
	if os.Getenv("LOCKED_TEST_LOG") != "" {
		options = append(options, locked.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	}
	return options
}

func closing(t testing.TB, l *locked.Locker) *locked.Locker {
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
func candidate(t testing.TB, l *locked.Locker, path, id string) *locked.Node {
	t.Helper()
	return candidateFor(t, l, path, id, time.Minute)
}

// candidateFor gives one with another TTL. One that is short can run out when the machine is busy.
func candidateFor(t testing.TB, l *locked.Locker, path, id string, ttl time.Duration) *locked.Node {
	t.Helper()
	return node(t, l, path, locked.NodeConfig{ID: id, Value: "value of " + id, TTL: ttl})
}

// rivals gives an etcd, and two candidates at /p that were started one after the other, each in a locker of its own; and what they hear.
func rivals(t testing.TB) (e *etcdServer, a, b *locked.Node, ea, eb *listener) {
	t.Helper()
	e = server(t, etcdserver.Config{})
	a, b = candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	believing(t, a, b)
	ea, eb = listen(t, a), listen(t, b)
	start(t, a, b)
	return e, a, b, ea, eb
}

// start starts nodes one after the other.
func start(t testing.TB, nodes ...*locked.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func stop(t testing.TB, n *locked.Node) {
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

// get reads one key, as any etcd client would.
func (e *etcdServer) get(key string) *mvccpb.KeyValue {
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

// revision is the last one.
func (e *etcdServer) revision() int64 {
	e.t.Helper()
	resp, err := e.client.Get(patient(e.t), "x")
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Header.Revision
}

// want checks the value of a key.
func (e *etcdServer) want(key, value string) {
	e.t.Helper()
	if kv := e.get(key); kv == nil || string(kv.Value) != value {
		e.t.Errorf("%s is %v, want %.100q", key, kv, value)
	}
}

// keys lists the keys that begin with a prefix, in order.
func (e *etcdServer) keys(prefix string) []*mvccpb.KeyValue {
	e.t.Helper()
	resp, err := e.client.Get(patient(e.t), prefix, clientv3.WithPrefix())
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Kvs
}

// only gives the one key that begins with a prefix.
func (e *etcdServer) only(prefix string) *mvccpb.KeyValue {
	e.t.Helper()
	kvs := e.keys(prefix)
	if len(kvs) != 1 {
		e.t.Fatalf("%d keys begin with %s, want one: %v", len(kvs), prefix, kvs)
	}
	return kvs[0]
}

func (e *etcdServer) put(key, value string) int64 {
	e.t.Helper()
	e.soiled = true
	resp, err := e.client.Put(patient(e.t), key, value)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Header.Revision
}

func (e *etcdServer) delete(key string) int64 {
	e.t.Helper()
	e.soiled = true
	resp, err := e.client.Delete(patient(e.t), key)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.Header.Revision
}

func (e *etcdServer) revoke(lease int64) {
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
