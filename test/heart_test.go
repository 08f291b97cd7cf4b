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
	"github.com/samcday/locked/test/sim"
)

// What drives elections: the loop, renewals, and what may stand in their way.

// A listing of a lease's keys that is not answered costs no leadership.
func TestListingUnanswered(t *testing.T) {
	sim.InArena(t, locked.DefaultTTL, 2, func(a *sim.Arena) {
		a.StartAll()
		m := a.AwaitLeader()
		r := m.Link.Slow(sim.ByMethod("LeaseTimeToLive"), time.Hour).Always()
		time.Sleep(5 * time.Minute)
		if r.Hits() < 5 {
			a.T.Errorf("%d listings in 5 minutes", r.Hits())
		}
		if a.Leader() != m || len(a.Causes()) > 0 {
			a.T.Errorf("ends %v", a.Causes())
		}
		r.Off()
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
		sim.InArena(t, 5*time.Second, 0, func(a *sim.Arena) {
			var left atomic.Int64
			a.Config = func(cfg *clientv3.Config) {
				cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
					s, err := open(ctx, desc, cc, method, opts...)
					return missing{s, &left}, err
				}))
			}
			a.Join("a", locked.NodeConfig{})
			a.StartAll()
			a.AwaitLeader()
			for range 10 {
				left.Store(times)
				time.Sleep(2 * a.TTL)
			}
			if ends := a.Causes(); len(ends) > 0 != lost {
				a.T.Errorf("missed %d times in a row: ends %v", times, ends)
			}
		})
	}
}

// Law 13: no lease outlives the loop that would have to tell of its end. When that stands still, the work is told to end in time,
// and somebody else is elected.
func TestLaw13LoopStandsStill(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		works := map[*sim.Member]*atomic.Int64{} // how much of it goes on
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{}, len(a.Members))
		for _, m := range a.Members {
			working := new(atomic.Int64)
			works[m] = working
			go func() {
				err := m.Node.Lead(ctx, func(ctx context.Context, _ *locked.Term) error {
					working.Add(1)
					defer working.Add(-1)
					<-ctx.Done()
					return nil
				})
				if !errors.Is(err, context.Canceled) {
					a.T.Error(err)
				}
				done <- struct{}{}
			}()
		}
		for range 20 {
			m := a.AwaitLeader()
			other := a.Members[0]
			if m == other {
				other = a.Members[1]
			}
			a.Await("a follower", func() bool { return len(a.View().Queue) == 1 })
			time.Sleep(time.Duration(a.Rand().Int64N(int64(a.TTL))))
			stopped := a.Now()
			go m.StandStill(3 * a.TTL)
			a.Await("another leader", other.Node.IsSelected)
			if took := a.Now() - stopped; took > a.TTL+election.Period(a.TTL)+1500*time.Millisecond { // one renewal may follow
				a.T.Errorf("another leader after %v", took)
			}
			if n := works[m].Load(); n != 0 {
				a.T.Error("the work goes on")
			}
			time.Sleep(4 * a.TTL)
		}
		cancel()
		for range a.Members {
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
	t.Parallel()
	sim.Run(t, func(s *sim.Sim) {
		stuck := stuckHandler{make(chan struct{})}
		defer close(stuck.free)
		lockers, nodes := [2]*locked.Locker{}, [2]*locked.Node{}
		var link *sim.Link
		for i := range lockers {
			client, l := s.LockedClient(fmt.Sprint("c", i), nil)
			if i == 0 {
				link = l
			}
			var err error
			lockers[i], err = locked.NewFromClient(client, locked.WithLogger(slog.New(stuck)))
			s.NoError(err)
			nodes[i], err = lockers[i].Node("/p", locked.NodeConfig{ID: fmt.Sprint("n", i), Value: "v", TTL: 5 * time.Second})
			s.NoError(err)
			s.NoError(nodes[i].Start(s.T.Context()))
		}
		for range 60 { // more records than any queue holds
			link.Cut()
			time.Sleep(10 * time.Second)
			if nodes[0].IsSelected() || !nodes[1].IsSelected() {
				s.T.Fatal("cut off, and not replaced")
			}
			link.Heal()
			time.Sleep(5 * time.Second)
			s.NoError(lockers[1].Transfer(s.T.Context(), "/p", "n0"))
		}
		if dropped := lockers[0].Stats().DroppedRecords; dropped == 0 {
			s.T.Error("no record was dropped: this has shown nothing")
		}
		begun := s.Now()
		for _, l := range lockers {
			s.NoError(l.Close(s.T.Context()))
		}
		if took := s.Now() - begun; took > 4*time.Second { // each waits for its log for a second
			s.T.Errorf("closed after %v", took)
		}
	})
}

// A transfer that was obeyed returns, although renewals of its request are not answered.
func TestTransferWithoutRenewals(t *testing.T) {
	sim.InArena(t, time.Minute, 2, func(a *sim.Arena) {
		a.StartAll()
		m := a.AwaitLeader()
		client, link := a.LockedClient("asks", nil)
		l, err := locked.NewFromClient(client)
		a.NoError(err)
		link.Slow(sim.IsRenewal, time.Hour).Always()
		a.Members[1].Link.Slow(sim.IsWrite, 0) // nothing: so that what follows is the leader's alone
		m.Link.Slow(sim.IsWrite, 4*time.Second)
		begun := a.Now()
		a.NoError(l.Transfer(context.Background(), a.Path, ""))
		if took := a.Now() - begun; took < 2*time.Second || took > 5*time.Second {
			a.T.Errorf("returned after %v", took)
		}
		a.NoError(l.Close(context.Background()))
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
	sim.InArena(t, 4*time.Second, 1, func(a *sim.Arena) {
		a.StartAll()
		m := a.AwaitLeader()
		const way = 5 * time.Millisecond
		m.Link.Delay(way, way)
		time.Sleep(a.TTL)
		m.Link.Forget()
		for range 50 {
			m.Link.Slow(sim.ByMethod("Range"), election.Period(a.TTL)-3*way)
			_, err := a.Admin().Put(context.Background(), "/beside", "x")
			a.NoError(err)
			time.Sleep(election.Period(a.TTL))
		}
		isCreate := func(_ string, msg any) bool {
			r, ok := msg.(*pb.WatchRequest)
			return ok && r.GetCreateRequest() != nil
		}
		if n := m.Link.Count(isCreate); n > 0 {
			a.T.Errorf("%d watches were opened again", n)
		}
	})
}

// A stalled watch does not go unseen for longer because the TTL is long.
func TestStallIsSeenWithLongTTL(t *testing.T) {
	sim.InArena(t, time.Hour, 2, func(a *sim.Arena) {
		a.StartAll()
		m := a.AwaitLeader()
		other := a.Members[0]
		if m == other {
			other = a.Members[1]
		}
		r := other.Link.Slow(func(method string, msg any) bool { return sim.IsWatchEvent(method, msg) }, 24*time.Hour).Always()
		stopped := a.Now()
		m.Stop()
		time.Sleep(time.Second)
		r.Off()
		a.Await("the other one leads", other.Node.IsSelected)
		if took := a.Now() - stopped; took > 4*5*time.Second {
			a.T.Errorf("after %v", took)
		}
	})
}

// A Lead in a long outage keeps nothing of each of its attempts.
func TestLeadInLongOutage(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 5*time.Second, 1, func(a *sim.Arena) {
		m := a.Members[0]
		r := m.Link.Slow(sim.ByMethod("Txn"), 100*time.Hour).Always() // it gets a lease, and never hears what became of its entry
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); m.Node.Lead(ctx, func(context.Context, *locked.Term) error { return nil }) }()
		time.Sleep(20 * time.Minute)
		waiting := make(chan int, 1)
		m.Loop(func() { waiting <- look(m.Node, "leaving").Len() + look(m.Node, "next").Len() })
		if n := <-waiting; n > 3 {
			a.T.Errorf("%d wait", n)
		}
		cancel()
		<-done
		r.Off()
		m.Link.Reset()
		time.Sleep(a.TTL) // what is left goes by itself
	})
}

// What is asked of a locker that is closed is not kept.
func TestNothingIsKeptAfterClose(t *testing.T) {
	sim.InArena(t, 5*time.Second, 1, func(a *sim.Arena) {
		m := a.Members[0]
		a.NoError(m.Locker.Close(context.Background()))
		for range 100 {
			m.Locker.Stats()
		}
		if n := look(m.Locker, "box", "queue").Len(); n > 0 {
			a.T.Errorf("%d are kept", n)
		}
	})
}

// A compaction between two pages of a listing does not show.
func TestElectionsWhileCompacted(t *testing.T) {
	sim.Run(t, func(s *sim.Sim) {
		client, link := s.LockedClient("c", nil)
		l, err := locked.NewFromClient(client)
		s.NoError(err)
		for i := range 1500 {
			_, err := s.Admin().Put(s.T.Context(), election.TermPrefix(fmt.Sprintf("/p%04d", i))+"n", "a:::v")
			s.NoError(err)
		}
		pages := 0
		link.Rule(sim.ByMethod("Range"), func(ctx context.Context, _ any, apply sim.Apply) (any, error) {
			if pages++; pages != 2 {
				return apply(ctx)
			}
			return nil, rpctypes.ErrGRPCCompacted
		}).Always()
		all, err := l.Elections(s.T.Context(), "/p")
		if err != nil || len(all) != 1500 || pages != 4 {
			s.T.Error(len(all), pages, err)
		}
		s.NoError(l.Close(s.T.Context()))
	})
}

var soak = flag.Duration("soak", 0, "how much simulated time TestSoak takes, such as 8760h; 0 for an hour, or half a day with -long")

// After many outages nothing is left of them: goroutines, maps and memory are as they were after the first one.
func TestSoak(t *testing.T) {
	t.Parallel()
	notShort(t)
	apart := 20 * time.Minute // at most; half of it on average
	if *long || *soak > 0 {
		apart = 2 * time.Hour
	}
	longest := apart / 2 // of an outage
	outages := length(8, 3)
	if *soak > 0 {
		outages = int(*soak / (apart/2 + 20*time.Minute))
	}
	sim.InArena(t, 20*time.Second, 2, func(a *sim.Arena) {
		a.Limit(time.Duration(outages+24) * 2 * apart)
		a.StartAll()
		var first, last string
		for i := range outages {
			a.AwaitLeader()
			time.Sleep(time.Duration(a.Rand().Int64N(int64(apart))))
			m := a.Members[a.Rand().IntN(len(a.Members))]
			switch a.Rand().IntN(4) {
			case 0:
				a.Restart(time.Duration(a.Rand().Int64N(int64(longest))))
			case 1:
				m.Link.Cut()
				time.Sleep(time.Duration(a.Rand().Int64N(int64(longest))))
				m.Link.Reset()
				m.Link.Heal()
			case 2:
				m.Link.Sever()
				time.Sleep(time.Duration(a.Rand().Int64N(int64(longest))))
				m.Link.Heal()
			case 3:
				m.Bounce()
			}
			a.AwaitSettled()
			time.Sleep(3 * a.TTL) // earlier leases and streams have ended
			last = footprint(a)
			if i == 0 {
				first = last
			}
			if i%100 == 0 || i == outages-1 {
				var mem runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&mem)
				a.T.Logf("%v: %s, %d KiB", a.Now(), last, mem.HeapAlloc>>10)
			}
			a.Forget()
			if i%100 == 0 {
				a.Compact() // etcd itself keeps what was until then
			}
		}
		if last != first {
			a.T.Errorf("after the first outage: %s\nafter %d of them:   %s", first, outages, last)
		}
	})
}

// footprint is how much the members keep, all together.
func footprint(a *sim.Arena) string {
	sum := map[string]int{}
	for _, m := range a.Members {
		synctest.Wait()
		done := make(chan struct{})
		m.Loop(func() {
			defer close(done)
			for name, n := range sizes(m.Locker) {
				// There are only so many causes, senders that wait, and leases on which what was lost may still put a key.
				if n > 0 && name != ".counters.ends" && name != ".batches.spare" && !strings.HasSuffix(name, ".candidate.lost") {
					sum[name] += n
				}
			}
		})
		<-done
	}
	return fmt.Sprint(sum)
}
