package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Laws 5 and 6: five nodes of three Lockers lead in the order in which they entered, through 50 handovers, and no reader
// of PATH sees it absent. Each that has led goes to the end of the queue.
func TestOrderWithoutGap(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	lockers := []*locked.Locker{locker(t, e.Endpoint()), locker(t, e.Endpoint()), locker(t, e.Endpoint())}
	nodes := make([]*locked.Node, 5)
	heard := make([]*listener, len(nodes))
	for i := range nodes {
		nodes[i] = candidate(t, lockers[i%len(lockers)], "/p", fmt.Sprint(i))
		heard[i] = listen(t, nodes[i])
	}
	believing(t, nodes...)
	start(t, nodes...)
	const handovers = 50
	for turn := range handovers {
		i := turn % len(nodes)
		heard[i].await(locked.EventSelect)
		stop(t, nodes[i])
		start(t, nodes[i])
	}
	last := heard[handovers%len(nodes)].await(locked.EventSelect)

	var owners []string
	for _, events := range e.history("/p", 1) {
		for _, ev := range events {
			switch {
			case string(ev.Kv.Key) != "/p":
			case ev.Type == mvccpb.DELETE:
				t.Error("/p is absent from revision", ev.Kv.ModRevision)
			default:
				owners = append(owners, string(ev.Kv.Value))
			}
		}
	}
	if len(owners) != handovers+1 {
		t.Errorf("/p was written %d times, want once for each of %d terms", len(owners), handovers+1)
	}
	for turn, data := range owners {
		if want := nodes[turn%len(nodes)].LocalData(); data != want {
			t.Errorf("turn %d is %s, want %s", turn, data, want)
		}
	}
	if leader, err := lockers[0].Leader(t.Context(), "/p"); err != nil || leader.Token != last.Token {
		t.Error(leader, err)
	}
}

// Law 5: one that waits can leave, and whoever is behind it moves up; one that enters again is last.
func TestLeavingTheQueue(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	var nodes []*locked.Node
	for _, id := range []string{"a", "b", "c", "d"} {
		nodes = append(nodes, candidate(t, l, "/p", id))
	}
	start(t, nodes...)
	stop(t, nodes[1])
	checkCandidates(t, l, "/p", "a", "c", "d")
	start(t, nodes[1])
	checkCandidates(t, l, "/p", "a", "c", "d", "b")
	stop(t, nodes[3])
	stop(t, nodes[0])
	checkCandidates(t, l, "/p", "c", "b")
}

// Closing a Locker hands over all that its nodes lead: at once, and past its own nodes that wait.
func TestCloseHandsOver(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	dying, living := locker(t, e.Endpoint()), locker(t, e.Endpoint())
	const elections = 20
	var heard []*listener
	for i := range elections {
		path := fmt.Sprint("/p", i)
		start(t, candidate(t, dying, path, "leader"), candidate(t, dying, path, "next"))
		n := candidate(t, living, path, "other")
		heard = append(heard, listen(t, n))
		start(t, n)
	}
	before := e.keys("/p")
	if err := dying.Close(patient(t)); err != nil {
		t.Error(err)
	}
	for i := range elections {
		e.want(fmt.Sprint("/p", i), "other:::value of other")
		heard[i].await(locked.EventSelect)
	}
	if got := len(e.keys("/p")); got != 2*elections || len(before) != 4*elections {
		t.Errorf("%d keys before, %d after", len(before), got)
	}
	if leases, err := e.client.Leases(t.Context()); err != nil || len(leases.Leases) != 1 {
		t.Error("the locker that was closed leaves a lease:", leases, err)
	}
}

// Law 10: a leader that dies with a thousand candidates waiting costs one write transaction until there is a new one, and
// the expiry of its lease. They are on ten connections, of a hundred nodes each.
func TestNoHerd(t *testing.T) {
	onlyLong(t)
	t.Parallel()
	e := server(t, etcdserver.Config{})
	mortal := dial(t, clientv3.Config{Endpoints: []string{e.Endpoint()}})
	first, err := locked.NewFromClient(mortal, testOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	leader := candidateFor(t, first, "/p", "leader", 20*time.Second)
	start(t, leader)
	gates := make([]*gate, 10)
	var nodes []*locked.Node
	for i := range gates {
		client, g := dialGate(t, e)
		gates[i] = g
		l := lockerOn(t, client)
		for j := range 100 {
			n := candidate(t, l, "/p", fmt.Sprintf("%d/%d", i, j))
			start(t, n)
			nodes = append(nodes, n)
		}
	}
	heard := listen(t, nodes[0])
	written := func() (n int) {
		for _, g := range gates {
			n += g.written()
		}
		return n
	}
	before := written()
	if before < 1000 {
		t.Errorf("%d writes for a thousand candidates", before)
	}

	mortal.Close() // as a process that dies: it stops without a word
	heard.await(locked.EventSelect)
	// Whoever else would try has done so when it knows the new leader.
	for _, n := range nodes {
		heard := listen(t, n)
		heard.await(locked.EventChange, of("0/0"))
	}
	if n := written() - before; n != 1 {
		t.Errorf("%d write transactions for one election", n)
	}
	history := e.history("/p", nodes[0].Token())
	if len(history) != 1 {
		t.Errorf("%d revisions since the new leader's term began", len(history))
	}

	// The dead one finds out by itself. It cannot hand over any more, but be closed.
	if leader.IsSelected() {
		t.Error("the dead one is selected")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := first.Close(ctx); err == nil {
		t.Error("closed without handing over")
	}
}
