package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"google.golang.org/grpc"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// What drives elections: the loop, renewals, and what may stand in their way.

// A listing of a lease's keys that is not answered costs no leadership.
func TestListingUnanswered(t *testing.T) {
	inArena(t, locked.DefaultTTL, 2, func(a *arena) {
		a.startAll()
		m := a.awaitLeader()
		r := m.link.slow(byMethod("LeaseTimeToLive"), time.Hour).always()
		time.Sleep(5 * time.Minute)
		if r.hit() < 5 {
			a.t.Errorf("%d listings in 5 minutes", r.hit())
		}
		if a.leader() != m || len(a.causes()) > 0 {
			a.t.Errorf("ends %v", a.causes())
		}
		r.off()
	})
}

// missing is a stream of renewals whose answers say that etcd does not know the lease, as often as it is told.
type missing struct {
	grpc.ClientStream
	left *atomic.Int64
}

func (m missing) RecvMsg(msg any) error {
	err := m.ClientStream.RecvMsg(msg)
	if r, ok := msg.(*pb.LeaseKeepAliveResponse); ok && err == nil && m.left.Add(-1) >= 0 {
		r.TTL = 0
	}
	return err
}

// A leader of etcd that does not know a lease yet, as a new one may not, ends no term. One that does not know it any more does.
func TestLeaseMissedOnce(t *testing.T) {
	for times, lost := range map[int64]bool{1: false, 2: true} {
		inArena(t, 5*time.Second, 0, func(a *arena) {
			var left atomic.Int64
			a.config = func(cfg *clientv3.Config) {
				cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
					s, err := open(ctx, desc, cc, method, opts...)
					return missing{s, &left}, err
				}))
			}
			a.join("a", locked.NodeConfig{})
			a.startAll()
			a.awaitLeader()
			for range 10 {
				left.Store(times)
				time.Sleep(2 * a.ttl)
			}
			if ends := a.causes(); len(ends) > 0 != lost {
				a.t.Errorf("missed %d times in a row: ends %v", times, ends)
			}
		})
	}
}

// Law 13: no lease outlives the loop that would have to tell of its end. When that stands still, the work is told to end in time,
// and somebody else is elected.
func TestLaw13LoopStandsStill(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		works := map[*member]*atomic.Int64{} // how much of it goes on
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{}, len(a.members))
		for _, m := range a.members {
			working := new(atomic.Int64)
			works[m] = working
			go func() {
				err := m.node.Lead(ctx, func(ctx context.Context, _ *locked.Term) error {
					working.Add(1)
					defer working.Add(-1)
					<-ctx.Done()
					return nil
				})
				if !errors.Is(err, context.Canceled) {
					a.t.Error(err)
				}
				done <- struct{}{}
			}()
		}
		for range 20 {
			m := a.awaitLeader()
			other := a.members[0]
			if m == other {
				other = a.members[1]
			}
			a.await("a follower", func() bool { return len(a.view().Queue) == 1 })
			time.Sleep(time.Duration(a.rand().Int64N(int64(a.ttl))))
			stopped := a.now()
			go m.standStill(3 * a.ttl)
			a.await("another leader", other.node.IsSelected)
			if took := a.now() - stopped; took > a.ttl+election.Period(a.ttl)+1500*time.Millisecond { // one renewal may follow
				a.t.Errorf("another leader after %v", took)
			}
			if n := works[m].Load(); n != 0 {
				a.t.Error("the work goes on")
			}
			time.Sleep(4 * a.ttl)
		}
		cancel()
		for range a.members {
			<-done
		}
	})
}

// stuckHandler takes no record, ever, until it is freed.
type stuckHandler struct{ free chan struct{} }

func (s stuckHandler) Enabled(context.Context, slog.Level) bool {
	<-s.free
	return false
}

func (s stuckHandler) Handle(context.Context, slog.Record) error { return nil }
func (s stuckHandler) WithAttrs([]slog.Attr) slog.Handler        { return s }
func (s stuckHandler) WithGroup(string) slog.Handler             { return s }

// A log handler that never returns changes nothing about any election.
func TestStuckLogHandler(t *testing.T) {
	simulate(t, func(s *sim) {
		stuck := stuckHandler{make(chan struct{})}
		defer close(stuck.free)
		lockers, nodes := [2]*locked.Locker{}, [2]*locked.Node{}
		var link *link
		for i := range lockers {
			client, l := s.ourClient(fmt.Sprint("c", i), nil)
			if i == 0 {
				link = l
			}
			var err error
			lockers[i], err = locked.NewFromClient(client, locked.WithLogger(slog.New(stuck)))
			s.noError(err)
			nodes[i], err = lockers[i].Node("/p", locked.NodeConfig{ID: fmt.Sprint("n", i), Value: "v", TTL: 5 * time.Second})
			s.noError(err)
			s.noError(nodes[i].Start(s.t.Context()))
		}
		for range 60 { // more records than any queue holds
			link.cut()
			time.Sleep(10 * time.Second)
			if nodes[0].IsSelected() || !nodes[1].IsSelected() {
				s.t.Fatal("cut off, and not replaced")
			}
			link.heal()
			time.Sleep(5 * time.Second)
			s.noError(lockers[1].Transfer(s.t.Context(), "/p", "n0"))
		}
		if dropped := lockers[0].Stats().DroppedRecords; dropped == 0 {
			s.t.Error("no record was dropped: this has shown nothing")
		}
		begun := s.now()
		for _, l := range lockers {
			s.noError(l.Close(s.t.Context()))
		}
		if took := s.now() - begun; took > 2*time.Second {
			s.t.Errorf("closed after %v", took)
		}
	})
}

// A transfer that was obeyed returns, although renewals of its request are not answered.
func TestTransferWithoutRenewals(t *testing.T) {
	inArena(t, time.Minute, 2, func(a *arena) {
		a.startAll()
		m := a.awaitLeader()
		client, link := a.ourClient("asks", nil)
		l, err := locked.NewFromClient(client)
		a.noError(err)
		link.slow(isRenewal, time.Hour).always()
		a.members[1].link.slow(isWrite, 0) // nothing: so that what follows is the leader's alone
		m.link.slow(isWrite, 4*time.Second)
		begun := a.now()
		a.noError(l.Transfer(context.Background(), a.path, ""))
		if took := a.now() - begun; took < 2*time.Second || took > 5*time.Second {
			a.t.Errorf("returned after %v", took)
		}
		a.noError(l.Close(context.Background()))
	})
}

// A client that puts something before the keys is refused: nobody can tell what.
func TestWrappedClient(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	for part, wrap := range map[string]func(c *clientv3.Client){
		"Watcher": func(c *clientv3.Client) { c.Watcher = namespace.NewWatcher(c.Watcher, "/ns") },
		"KV":      func(c *clientv3.Client) { c.KV = namespace.NewKV(c.KV, "/ns") },
	} {
		c := dial(t, clientv3.Config{Endpoints: []string{e.Endpoint()}})
		wrap(c)
		var config *locked.ConfigError
		if _, err := locked.NewFromClient(c); !errors.As(err, &config) || !strings.Contains(err.Error(), "WithNamespace") {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// A revision that is read just before the next heartbeat leaves etcd no time to tell of its progress: no watch is stalled by that.
func TestLateHeartbeatIsNoStall(t *testing.T) {
	inArena(t, 4*time.Second, 1, func(a *arena) {
		a.startAll()
		m := a.awaitLeader()
		const way = 5 * time.Millisecond
		m.link.delay(way, way)
		time.Sleep(a.ttl)
		m.link.forget()
		for range 50 {
			m.link.slow(byMethod("Range"), election.Period(a.ttl)-3*way)
			_, err := a.admin().Put(context.Background(), "/beside", "x")
			a.noError(err)
			time.Sleep(election.Period(a.ttl))
		}
		isCreate := func(_ string, msg any) bool {
			r, ok := msg.(*pb.WatchRequest)
			return ok && r.GetCreateRequest() != nil
		}
		if n := m.link.count(isCreate); n > 0 {
			a.t.Errorf("%d watches were opened again", n)
		}
	})
}

// A stalled watch does not go unseen for longer because the TTL is long.
func TestStallIsSeenWithLongTTL(t *testing.T) {
	inArena(t, time.Hour, 2, func(a *arena) {
		a.startAll()
		m := a.awaitLeader()
		other := a.members[0]
		if m == other {
			other = a.members[1]
		}
		r := other.link.slow(func(method string, msg any) bool { return isWatchEvent(method, msg) }, 24*time.Hour).always()
		stopped := a.now()
		m.stopNode()
		time.Sleep(time.Second)
		r.off()
		a.await("the other one leads", other.node.IsSelected)
		if took := a.now() - stopped; took > 4*5*time.Second {
			a.t.Errorf("after %v", took)
		}
	})
}

// A Lead in a long outage keeps nothing of each of its attempts.
func TestLeadInLongOutage(t *testing.T) {
	inArena(t, 5*time.Second, 1, func(a *arena) {
		m := a.members[0]
		r := m.link.slow(byMethod("Txn"), 100*time.Hour).always() // it gets a lease, and never hears what became of its entry
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); m.node.Lead(ctx, func(context.Context, *locked.Term) error { return nil }) }()
		time.Sleep(20 * time.Minute)
		waiting := make(chan int, 1)
		m.loop(func() { waiting <- look(m.node, "leaving").Len() + look(m.node, "next").Len() })
		if n := <-waiting; n > 3 {
			a.t.Errorf("%d wait", n)
		}
		cancel()
		<-done
		r.off()
		m.link.reset()
	})
}

// What is asked of a locker that is closed is not kept.
func TestNothingIsKeptAfterClose(t *testing.T) {
	inArena(t, 5*time.Second, 1, func(a *arena) {
		m := a.members[0]
		a.noError(m.locker.Close(context.Background()))
		for range 100 {
			m.locker.Stats()
		}
		if n := look(m.locker, "box", "queue").Len(); n > 0 {
			a.t.Errorf("%d are kept", n)
		}
	})
}

// A compaction between two pages of a listing does not show.
func TestElectionsWhileCompacted(t *testing.T) {
	simulate(t, func(s *sim) {
		client, link := s.ourClient("c", nil)
		l, err := locked.NewFromClient(client)
		s.noError(err)
		for i := range 1500 {
			_, err := s.admin().Put(s.t.Context(), election.TermPrefix(fmt.Sprintf("/p%04d", i))+"n", "a:::v")
			s.noError(err)
		}
		pages := 0
		link.rule(byMethod("Range"), func(ctx context.Context, _ any, apply applier) (any, error) {
			if pages++; pages != 2 {
				return apply(ctx)
			}
			return nil, rpctypes.ErrGRPCCompacted
		}).always()
		all, err := l.Elections(s.t.Context(), "/p")
		if err != nil || len(all) != 1500 || pages != 4 {
			s.t.Error(len(all), pages, err)
		}
		s.noError(l.Close(s.t.Context()))
	})
}

var soak = flag.Duration("soak", 0, "how much simulated time TestSoak takes, such as 8760h; 0 for some days")

// After many outages nothing is left of them: goroutines, maps and memory are as they were after the first one.
func TestSoak(t *testing.T) {
	const apart = 2 * time.Hour // at most; half of it on average
	outages := 8
	if raceEnabled {
		outages = 2
	}
	if *soak > 0 {
		outages = int(*soak / (apart/2 + 20*time.Minute))
	}
	inArena(t, 20*time.Second, 2, func(a *arena) {
		a.limit(time.Duration(outages+24) * 2 * apart)
		a.startAll()
		var first, last string
		for i := range outages {
			a.awaitLeader()
			time.Sleep(time.Duration(a.rand().Int64N(int64(apart))))
			m := a.members[a.rand().IntN(len(a.members))]
			switch a.rand().IntN(4) {
			case 0:
				a.restart(time.Duration(a.rand().Int64N(int64(time.Hour))))
			case 1:
				m.link.cut()
				time.Sleep(time.Duration(a.rand().Int64N(int64(time.Hour))))
				m.link.reset()
				m.link.heal()
			case 2:
				m.link.sever()
				time.Sleep(time.Duration(a.rand().Int64N(int64(time.Hour))))
				m.link.heal()
			case 3:
				m.bounce()
			}
			a.settled()
			time.Sleep(3 * a.ttl) // earlier leases and streams have ended
			last = a.footprint()
			if i == 0 {
				first = last
			}
			if i%100 == 0 || i == outages-1 {
				var mem runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&mem)
				a.t.Logf("%v: %s, %d KiB", a.now(), last, mem.HeapAlloc>>10)
			}
			a.forget()
		}
		if last != first {
			a.t.Errorf("after the first outage: %s\nafter %d of them:   %s", first, outages, last)
		}
	})
}

// footprint is how much the members keep, all together.
func (a *arena) footprint() string {
	sum := map[string]int{}
	for _, m := range a.members {
		synctest.Wait()
		done := make(chan struct{})
		m.loop(func() {
			defer close(done)
			for name, n := range sizes(m.locker) {
				// There are only so many causes, and leases on which what was lost may still put a key.
				if n > 0 && name != ".counters.ends" && !strings.HasSuffix(name, ".candidate.lost") {
					sum[name] += n
				}
			}
		})
		<-done
	}
	return fmt.Sprint(sum)
}
