package test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/test/sim"
)

// Times are told as ratios to what etcd needs for the least that could do it, measured in turns with it on the same server,
// with fsync on. Medians: go test -run '^$' -bench . -benchtime 300x

// samples are the times of one thing.
type samples []time.Duration

func (s samples) median() time.Duration {
	s = slices.Clone(s)
	slices.Sort(s)
	return s[len(s)/2]
}

// timed adds how long f takes.
func (s *samples) timed(f func()) {
	start := time.Now()
	f()
	*s = append(*s, time.Since(start))
}

// floor is a key that is put and watched: the least that tells somebody something through etcd.
type floor struct {
	b       *testing.B
	client  *clientv3.Client
	changes clientv3.WatchChan
	n       int
}

func newFloor(b *testing.B, endpoint string) *floor {
	b.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &floor{b: b, client: c, changes: c.Watch(b.Context(), "floor")}
}

// put is one committed write.
func (f *floor) put() {
	f.n++
	if _, err := f.client.Put(f.b.Context(), "floor", fmt.Sprint(f.n)); err != nil {
		f.b.Fatal(err)
	}
}

// putAndHear is one committed write, and its arrival at a watch.
func (f *floor) putAndHear() {
	f.put()
	<-f.changes
}

// enter starts a node, and gives its events from then on, until a context ends.
func enter(b *testing.B, ctx context.Context, n *locked.Node) <-chan locked.Event {
	b.Helper()
	events := n.Events(ctx)
	if err := n.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	return events
}

func awaitKind(events <-chan locked.Event, kind locked.Kind) {
	for e := range events {
		if e.Kind == kind {
			return
		}
	}
}

// BenchmarkHandover is from Stop to the successor's select, in another locker: x-floor is its ratio to one put and its
// delivery to a watch. The successor has waited for a while, or entered just
// before the measurement of the floor.
func BenchmarkHandover(b *testing.B) {
	for _, fresh := range []bool{false, true} {
		name := map[bool]string{false: "settled", true: "fresh"}[fresh]
		b.Run(name, func(b *testing.B) {
			s := server(b, etcdserver.Config{ElectionTimeout: time.Second})
			lockers := []*locked.Locker{locker(b, s.Endpoint()), locker(b, s.Endpoint())}
			f := newFloor(b, s.Endpoint())
			var ours, theirs samples
			leader := node(b, lockers[0], "/a", locked.NodeConfig{ID: "0", Value: "v"})
			ctx, unlisten := context.WithCancel(b.Context())
			enter(b, ctx, leader)
			i := 0
			for b.Loop() {
				i++
				unlisten() // or the events of those that led before would be told too
				ctx, unlisten = context.WithCancel(b.Context())
				next := node(b, lockers[i%2], "/a", locked.NodeConfig{ID: fmt.Sprint(i), Value: "v"})
				events := enter(b, ctx, next)
				if !fresh {
					sim.Sleep(b.Context(), 110*time.Millisecond) // longer than etcd's loop for watches that begin in the past
				}
				f.putAndHear() // neither is to pay for waking the machine up
				theirs.timed(f.putAndHear)
				ours.timed(func() {
					go leader.Stop(context.Background())
					awaitKind(events, locked.EventSelect)
				})
				leader = next
			}
			unlisten()
			b.ReportMetric(float64(ours.median())/float64(theirs.median()), "x-floor")
			b.ReportMetric(float64(ours.median().Microseconds()), "µs-handover")
			b.ReportMetric(float64(theirs.median().Microseconds()), "µs-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkElectWarm is the start of a node that nobody competes with, in a locker that has a lease: x-put is its ratio to
// one put.
func BenchmarkElectWarm(b *testing.B) {
	s := server(b, etcdserver.Config{ElectionTimeout: time.Second})
	l := locker(b, s.Endpoint())
	enter(b, b.Context(), node(b, l, "/warm", locked.NodeConfig{Value: "v"}))
	f := newFloor(b, s.Endpoint())
	var ours, theirs samples
	i := 0
	for b.Loop() {
		i++
		theirs.timed(f.put)
		n := node(b, l, fmt.Sprint("/a/", i), locked.NodeConfig{Value: "v"})
		ours.timed(func() {
			if err := n.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
		if !n.IsSelected() {
			b.Fatal("not elected")
		}
		if err := n.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ours.median())/float64(theirs.median()), "x-put")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIsSelected is the question that programs ask most.
func BenchmarkIsSelected(b *testing.B) {
	s := server(b, etcdserver.Config{NoFsync: true})
	l := locker(b, s.Endpoint())
	n := node(b, l, "/a", locked.NodeConfig{Value: "v"})
	enter(b, b.Context(), n)
	b.ReportAllocs()
	for b.Loop() {
		if !n.IsSelected() {
			b.Fatal("not elected")
		}
	}
}

// BenchmarkLeadHandover is from Stop of a node in Lead, whose work ends at once, to the beginning of the successor's work.
func BenchmarkLeadHandover(b *testing.B) {
	s := server(b, etcdserver.Config{ElectionTimeout: time.Second})
	lockers := []*locked.Locker{locker(b, s.Endpoint()), locker(b, s.Endpoint())}
	f := newFloor(b, s.Endpoint())
	began := make(chan *locked.Term, 1)
	var ours, theirs samples
	leader := node(b, lockers[0], "/a", locked.NodeConfig{ID: "0", Value: "v"})
	done := lead(b.Context(), leader, work(began))
	<-began
	i := 0
	for b.Loop() {
		i++
		next := node(b, lockers[i%2], "/a", locked.NodeConfig{ID: fmt.Sprint(i), Value: "v"})
		over := lead(b.Context(), next, work(began))
		awaitQueued(b, lockers[i%2], "/a", fmt.Sprint(i))
		f.putAndHear()
		theirs.timed(f.putAndHear)
		ours.timed(func() {
			go leader.Stop(context.Background())
			<-began
		})
		<-done
		leader, done = next, over
	}
	b.ReportMetric(float64(ours.median())/float64(theirs.median()), "x-floor")
	b.ReportMetric(0, "ns/op")
}
