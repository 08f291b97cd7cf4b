package sim

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "unsafe" // for go:linkname

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdtest"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the simulations; 0 picks one")

// clientv3 makes this channel at init, outside every bubble, and waits on it in
// each watch: to synctest such a wait is not durable, and time would stand
// still. It is never closed, so a nil channel does the same.
//
//go:linkname valCtxCh go.etcd.io/etcd/client/v3.valCtxCh
var valCtxCh chan struct{}

func init() { valCtxCh = nil }

// Sim is one simulation: a server, its clients and what was seen of them.
type Sim struct {
	T       *testing.T
	dir     string
	cluster string // the token of its etcd
	base    time.Time
	rnd     *rand.Rand
	dog     *time.Timer

	mu        sync.Mutex
	server    *simServer // nil while stopped
	clients   []*clientv3.Client
	links     []*Link
	histories []*History
}

// Run runs f in a bubble against a running server; there, s.t is the test,
// not t. On the way out it checks the histories and closes all. The bubble panics
// if a goroutine is left behind.
func Run(t *testing.T, f func(s *Sim)) {
	t.Helper()
	etcdtest.BuiltIn(t)
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1<<32-1) + 1
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		t.Logf("replay the random choices with -run '^%s$' -seed %d", t.Name(), seed)
		s := &Sim{T: t, dir: dir, base: time.Now()}
		s.rnd = rand.New(&lockedSource{src: rand.NewPCG(seed, seed)})
		s.dog = time.AfterFunc(48*time.Hour, s.overdue)
		s.Start()
		defer s.close()
		f(s)
	})
}

// Rand is a random source that goroutines may share. The seed fixes the numbers
// it hands out, not the order in which goroutines ask for them.
func (s *Sim) Rand() *rand.Rand { return s.rnd }

// Now is the simulated time since the start.
func (s *Sim) Now() time.Duration { return time.Since(s.base) }

// Limit sets how much longer, from now, the simulation may last; 48 hours at first.
func (s *Sim) Limit(d time.Duration) { s.dog.Reset(d) }

func (s *Sim) overdue() {
	debug.SetTraceback("all")
	panic(fmt.Sprintf("%s: something waits for ever: not done after %v of simulated time", s.T.Name(), s.Now()))
}

func (s *Sim) close() {
	s.T.Helper()
	defer s.dog.Stop()
	for _, h := range s.histories {
		for _, v := range h.Violations() {
			s.T.Error(v)
		}
	}
	for _, c := range s.clients {
		c.Close() // a client that the test has closed returns an error: nobody's concern
	}
	for _, l := range s.links {
		l.Heal()
		l.Reset()
	}
	s.Stop()
}

// Client is a new client on a link of its own, closed at the end. The options
// change its configuration, which is etcd's default but for the log.
func (s *Sim) Client(name string, opts ...func(*clientv3.Config)) (*clientv3.Client, *Link) {
	s.T.Helper()
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
		s.T.Fatalf("client %s: %v", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients, s.links = append(s.clients, c), append(s.links, l)
	return c, l
}

// Clock is a clock for one client. It sees the simulated time, and more of it
// after Suspend.
type Clock struct {
	base  time.Time
	ahead atomic.Int64
}

var _ clock.Clock = (*Clock)(nil)

// Clock is a new one.
func (s *Sim) Clock() *Clock { return &Clock{base: s.base} }

// Now is the time on the clock.
func (c *Clock) Now() time.Duration { return time.Since(c.base) + time.Duration(c.ahead.Load()) }

// Suspend puts the clock ahead by d at once: as after a sleep of the machine, in
// which the timers stood still.
func (c *Clock) Suspend(d time.Duration) { c.ahead.Add(int64(d)) }

type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// Sleep waits, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
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

func (s *Sim) NoError(err error) {
	s.T.Helper()
	if err != nil {
		s.T.Fatal(err)
	}
}
