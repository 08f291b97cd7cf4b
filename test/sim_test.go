package test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "unsafe" // for go:linkname

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdtest"
)

// Simulated time: a real etcd server and real clients in a testing/synctest
// bubble, joined by the in-memory links of simnet_test.go. The clock jumps when
// every goroutine waits, so an hour of faults takes under a second.
//
// A test that waits for ever is no deadlock to the bubble, as the server's own
// timers go on: the limit ends it.

var seedFlag = flag.Uint64("seed", 0, "seed of the simulations; 0 picks one")

// clientv3 makes this channel at init, outside every bubble, and waits on it in
// each watch: to synctest such a wait is not durable, and time would stand
// still. It is never closed, so a nil channel does the same.
//
//go:linkname valCtxCh go.etcd.io/etcd/client/v3.valCtxCh
var valCtxCh chan struct{}

func init() { valCtxCh = nil }

// sim is one simulation: a server, its clients and what was seen of them.
type sim struct {
	t    *testing.T
	dir  string
	base time.Time
	rnd  *rand.Rand
	dog  *time.Timer

	mu        sync.Mutex
	server    *simServer // nil while stopped
	clients   []*clientv3.Client
	links     []*link
	histories []*leaderHistory
}

// simulate runs f in a bubble against a running server; there, s.t is the test,
// not t. On the way out it checks the histories and closes all. The bubble panics
// if a goroutine is left behind.
func simulate(t *testing.T, f func(s *sim)) {
	t.Helper()
	etcdtest.BuiltIn(t)
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1<<32-1) + 1
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		t.Logf("replay the random choices with -run '^%s$' -seed %d", t.Name(), seed)
		s := &sim{t: t, dir: dir, base: time.Now()}
		s.rnd = rand.New(&lockedSource{src: rand.NewPCG(seed, seed)})
		s.dog = time.AfterFunc(48*time.Hour, s.overdue)
		s.start()
		defer s.close()
		f(s)
	})
}

// rand is a random source that goroutines may share. The seed fixes the numbers
// it hands out, not the order in which goroutines ask for them.
func (s *sim) rand() *rand.Rand { return s.rnd }

// now is the simulated time since the start.
func (s *sim) now() time.Duration { return time.Since(s.base) }

// limit sets how much longer, from now, the simulation may last; 48 hours at first.
func (s *sim) limit(d time.Duration) { s.dog.Reset(d) }

func (s *sim) overdue() {
	debug.SetTraceback("all")
	panic(fmt.Sprintf("%s: something waits for ever: not done after %v of simulated time", s.t.Name(), s.now()))
}

func (s *sim) close() {
	s.t.Helper()
	defer s.dog.Stop()
	for _, h := range s.histories {
		for _, v := range h.violations() {
			s.t.Error(v)
		}
	}
	for _, c := range s.clients {
		c.Close() // a client that the test has closed returns an error: nobody's concern
	}
	for _, l := range s.links {
		l.heal()
		l.reset()
	}
	s.stop()
}

// client is a new client on a link of its own, closed at the end. The options
// change its configuration, which is etcd's default but for the log.
func (s *sim) client(name string, opts ...func(*clientv3.Config)) (*clientv3.Client, *link) {
	s.t.Helper()
	l := newLink(s, name)
	cfg := clientv3.Config{
		Endpoints: []string{"passthrough:///" + name},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(l.dial),
		},
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		s.t.Fatalf("client %s: %v", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients, s.links = append(s.clients, c), append(s.links, l)
	return c, l
}

// running is the server, or nil while there is none.
func (s *sim) running() *simServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// simServer is one run of the etcd server.
type simServer struct {
	etcd     *etcdserver.EtcdServer
	grpc     *grpc.Server
	listener *simListener
	admin    *clientv3.Client
	served   chan struct{}
	guests   sync.WaitGroup // requests that come beside gRPC
}

// enter gives the server to a request that comes beside gRPC, or nil while there is none: it runs until done.
func (s *sim) enter() (srv *simServer, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, nil
	}
	s.server.guests.Add(1)
	return s.server, s.server.guests.Done
}

// start starts the server and returns once it takes requests, after about one
// simulated second: its election.
func (s *sim) start() {
	s.t.Helper()
	etcd, err := etcdserver.NewServer(simServerConfig(s.dir))
	if err != nil {
		s.t.Fatalf("etcd: %v", err)
	}
	etcd.Start()
	<-etcd.ReadyNotify()
	srv := &simServer{etcd: etcd, listener: newSimListener(), admin: v3client.New(etcd), served: make(chan struct{})}
	srv.grpc = v3rpc.Server(etcd, nil, nil, simGRPCOptions()...)
	go func() {
		defer close(srv.served)
		_ = srv.grpc.Serve(srv.listener) // fails when the listener closes
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		panic("sim: started twice")
	}
	s.server = srv
}

// stop ends the server, connections first. Clients dial again by themselves and
// are refused until start; their requests wait for a connection, as long as their
// contexts let them. A client behind a cut learns of the stop when healed.
func (s *sim) stop() {
	s.mu.Lock()
	srv := s.server
	s.server = nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	srv.grpc.Stop()
	<-srv.served
	srv.guests.Wait()
	srv.admin.Close()
	srv.etcd.HardStop()
}

// restart stops the server, waits, and starts it again on the same data. gRPC
// clients wait between two dials, longer each time, up to two minutes.
func (s *sim) restart(downFor time.Duration) {
	s.t.Helper()
	s.stop()
	time.Sleep(downFor)
	s.start()
}

// admin is a client inside the server, which no fault reaches: for edits by
// hand and for checks. It lives until the server stops.
func (s *sim) admin() *clientv3.Client {
	srv := s.running()
	if srv == nil {
		panic("sim: no admin while the server is stopped")
	}
	return srv.admin
}

// compact drops all history before the current revision and returns that.
func (s *sim) compact() int64 {
	s.t.Helper()
	c := s.admin()
	r, err := c.Get(s.t.Context(), "compact")
	if err == nil {
		_, err = c.Compact(s.t.Context(), r.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		s.t.Fatalf("compact: %v", err)
	}
	return r.Header.Revision
}

// simServerConfig is what etcd runs with by default, on one member without peers.
func simServerConfig(dir string) config.ServerConfig {
	def := embed.NewConfig()
	urls := types.MustNewURLs([]string{"http://127.0.0.1:1"}) // never opened
	return config.ServerConfig{
		Name: "default", DataDir: dir, Logger: zap.NewNop(), Metrics: def.Metrics,
		ClientURLs: urls, PeerURLs: urls, NewCluster: true, InitialClusterToken: "sim",
		InitialPeerURLsMap: types.URLsMap{"default": urls},
		TickMs:             def.TickMs, ElectionTicks: def.ElectionTicks(), PreVote: def.PreVote,
		InitialElectionTickAdvance: true, StrictReconfigCheck: true, MaxLearners: def.MaxLearners,
		SnapshotCount: def.SnapshotCount, SnapshotCatchUpEntries: def.SnapshotCatchUpEntries,
		MaxSnapFiles: def.MaxSnapFiles, MaxWALFiles: def.MaxWalFiles,
		MaxTxnOps: def.MaxTxnOps, MaxRequestBytes: def.MaxRequestBytes, MaxConcurrentStreams: def.MaxConcurrentStreams,
		AuthToken: def.AuthToken, BcryptCost: 4, TokenTTL: def.AuthTokenTTL, // 4: the cheapest; passwords are not the matter here
		WarningApplyDuration: def.WarningApplyDuration, WarningUnaryRequestDuration: def.WarningUnaryRequestDuration,
		WatchProgressNotifyInterval: def.WatchProgressNotifyInterval, CompactionBatchLimit: def.CompactionBatchLimit,
		DowngradeCheckTime: def.DowngradeCheckTime, ServerFeatureGate: def.ServerFeatureGate,
		V2Deprecation: def.V2DeprecationEffective(), UnsafeNoFsync: true,
	}
}

// simGRPCOptions are embed's, with the faults behind etcd's own interceptors. The
// enforcement policy matters: under gRPC's default a client that pings more than
// once in five minutes is thrown out.
func simGRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: embed.DefaultGRPCKeepAliveMinTime}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: embed.DefaultGRPCKeepAliveInterval, Timeout: embed.DefaultGRPCKeepAliveTimeout,
		}),
		grpc.ChainUnaryInterceptor(faultUnary),
		grpc.ChainStreamInterceptor(faultStream),
		grpc.WaitForHandlers(true), // none may outlive its server's storage
	}
}

// simClock is a clock for one client. It sees the simulated time, and more of it
// after suspend.
type simClock struct {
	base  time.Time
	ahead atomic.Int64
}

var _ clock.Clock = (*simClock)(nil)

func (s *sim) clock() *simClock { return &simClock{base: s.base} }

func (c *simClock) Now() time.Duration { return time.Since(c.base) + time.Duration(c.ahead.Load()) }

// suspend puts the clock ahead by d at once: as after a sleep of the machine, in
// which the timers stood still.
func (c *simClock) suspend(d time.Duration) { c.ahead.Add(int64(d)) }

// leaderBelief is a span of simulated time in which who took itself for the leader.
type leaderBelief struct {
	who      string
	token    int64
	from, to time.Duration
}

func (b leaderBelief) String() string {
	return fmt.Sprintf("%s (token %d, %v to %v)", b.who, b.token, b.from, b.to)
}

// leaderHistory is what was believed about one lock. It is checked when the simulation ends.
type leaderHistory struct {
	sim  *sim
	name string
	mu   sync.Mutex
	past []leaderBelief
	open map[string]leaderBelief
}

func (s *sim) history(name string) *leaderHistory {
	h := &leaderHistory{sim: s, name: name, open: map[string]leaderBelief{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories = append(s.histories, h)
	return h
}

// gain notes that who believes to lead from now on, lose that it no longer does.
func (h *leaderHistory) gain(who string, token int64) {
	h.lose(who)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[who] = leaderBelief{who: who, token: token, from: h.sim.now()}
}

func (h *leaderHistory) lose(who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.open[who]; ok {
		delete(h.open, who)
		b.to = h.sim.now()
		h.past = append(h.past, b)
	}
}

// add notes a belief whose span the caller knows: say, up to a deadline.
func (h *leaderHistory) add(b leaderBelief) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = append(h.past, b)
}

// beliefs returns all beliefs by their start. Those still held end now.
func (h *leaderHistory) beliefs() []leaderBelief {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.past)
	for _, b := range h.open {
		b.to = h.sim.now()
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b leaderBelief) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.token, b.token))
	})
	return all
}

// violations names every belief that began before an earlier one ended, and
// every token that did not grow. Beliefs may touch: much happens in one instant.
func (h *leaderHistory) violations() []string {
	var found []string
	var longest, highest leaderBelief // of the earlier ones: ends last, has the highest token
	for i, b := range h.beliefs() {
		if i > 0 && longest.to > b.from {
			found = append(found, fmt.Sprintf("%s: two leaders: %v and %v", h.name, longest, b))
		}
		if i > 0 && highest.token >= b.token {
			found = append(found, fmt.Sprintf("%s: token does not grow: %v, then %v", h.name, highest, b))
		}
		if i == 0 || b.to > longest.to {
			longest = b
		}
		if i == 0 || b.token > highest.token {
			highest = b
		}
	}
	return found
}

// overlaps counts the beliefs that began before an earlier one had ended.
func (h *leaderHistory) overlaps() (n int) {
	for _, v := range h.violations() {
		if strings.Contains(v, "two leaders") {
			n++
		}
	}
	return n
}

type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// idOf is the id in a key's value.
func holderOf(k election.Key) string {
	id, _, _ := election.Split(k.Data)
	return id
}
