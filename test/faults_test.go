package test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Law 8: a leader whose lease is revoked by somebody else is deselected, enters the queue again, and leads again when its
// turn comes.
func TestLeaseRevokedUnderLeader(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a, b := candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	ea, eb := listen(t, a), listen(t, b)
	start(t, a)
	first := ea.await(locked.EventSelect)
	e.revoke(e.only("/p:::term/").Lease)
	if d := ea.await(locked.EventDeselect); d.Cause != locked.ErrRemoved && d.Cause != locked.ErrExpired { // by the watch, or by the next renewal
		t.Error(d)
	}
	second := ea.await(locked.EventSelect)
	if second.Token <= first.Token {
		t.Error(second)
	}

	start(t, b)
	e.revoke(e.only("/p:::term/").Lease)
	ea.await(locked.EventDeselect)
	eb.await(locked.EventSelect)
	eventually(t, "a waits again", func() bool { return len(e.keys("/p:::queue/")) == 1 })
	stop(t, b)
	ea.await(locked.EventSelect)
}

// Law 8: one that waits and whose lease is revoked by somebody else enters again; the leader is not disturbed.
func TestLeaseRevokedUnderWaiter(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a := candidate(t, locker(t, e.Endpoint()), "/p", "a")
	l := locker(t, e.Endpoint())
	b, sibling := candidate(t, l, "/p", "b"), candidate(t, l, "/q", "sibling")
	ea, eb, es := listen(t, a), listen(t, b), listen(t, sibling)
	start(t, a, b, sibling)
	ea.await(locked.EventSelect)
	es.await(locked.EventSelect)
	for range 3 {
		old := e.only("/p:::queue/")
		e.revoke(old.Lease)
		eventually(t, "b waits again", func() bool {
			now := e.keys("/p:::queue/")
			return len(now) == 1 && now[0].Lease != old.Lease && now[0].CreateRevision > old.CreateRevision
		})
	}
	es.await(locked.EventDeselect) // its lease was the same one
	es.await(locked.EventSelect)
	if ea.count(locked.EventDeselect) != 0 || !a.IsSelected() {
		t.Error("the leader was disturbed")
	}
	stop(t, a)
	eb.await(locked.EventSelect)
}

// PATH, or the term key, deleted by hand: the leader steps down with ErrRemoved and begins a new term, which restores PATH; those
// who wait keep waiting.
func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	for what, prefix := range map[string]string{"PATH": "/p", "term key": "/p:::term/"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e, a, _, ea, eb := rivals(t)
			token := ea.await(locked.EventSelect).Token
			for range 3 {
				e.delete(string(e.keys(prefix)[0].Key))
				ea.await(locked.EventDeselect, because(locked.ErrRemoved))
				next := ea.await(locked.EventSelect)
				if next.Token <= token {
					t.Error("token", next.Token, "after", token)
				}
				token = next.Token
				e.want("/p", "a:::value of a")
			}
			if eb.count(locked.EventSelect) != 0 {
				t.Error("the other one was elected")
			}
			stop(t, a)
			eb.await(locked.EventSelect)
			if got := len(e.keys("/p")); got != 2 {
				t.Errorf("%d keys", got)
			}
		})
	}
}

// The queue key of one that waits, deleted by hand: it enters again, as the last.
func TestQueueKeyDeleted(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	start(t, candidate(t, l, "/p", "a"), candidate(t, l, "/p", "b"), candidate(t, l, "/p", "c"))
	checkCandidates(t, l, "/p", "a", "b", "c")
	first := slices.MinFunc(e.keys("/p:::queue/"), func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) })
	e.delete(string(first.Key))
	eventually(t, "b waits again", func() bool { return len(e.keys("/p:::queue/")) == 2 })
	checkCandidates(t, l, "/p", "a", "c", "b")
}

// PATH overwritten by hand: the leader steps down with ErrRemoved, says what holds PATH, waits, leaves it alone, and comes
// back when it is deleted.
func TestPathOverwritten(t *testing.T) {
	t.Parallel()
	e, a, b, ea, eb := rivals(t)
	ea.await(locked.EventSelect)
	e.put("/p", "mine now")
	ea.await(locked.EventDeselect, because(locked.ErrRemoved))
	ea.rewind()
	ea.await(locked.EventError, naming("/p", "mine now"))
	eb.await(locked.EventVacant)
	eb.rewind()
	eb.await(locked.EventError, naming("/p", "mine now"))
	eventually(t, "both wait", func() bool { return len(e.keys("/p:::queue/")) == 2 && len(e.keys("/p:::term/")) == 0 })

	revision := e.put("/p", "still mine")
	eb.await(locked.EventError, naming("/p", "still mine"))
	if kv := e.get("/p"); kv.ModRevision != revision || a.IsSelected() || b.IsSelected() {
		t.Error("it was not left alone:", kv)
	}
	e.delete("/p")
	eb.await(locked.EventSelect) // it stood before the one that had to queue again
	stop(t, b)
	ea.await(locked.EventSelect)
}

// PATH held by somebody else from the beginning: a start succeeds, and the node waits until PATH is deleted.
func TestPathTaken(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	e.put("/p", "a stranger:::here")
	a, b := candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	believing(t, a, b)
	ea, eb := listen(t, a), listen(t, b)
	start(t, a, b)
	ea.await(locked.EventError, naming("/p", "a stranger:::here"))
	eventually(t, "both wait", func() bool { return len(e.keys("/p:::queue/")) == 2 })
	stop(t, a) // one that was told can leave, the next one is told then
	eb.await(locked.EventError, naming("/p", "a stranger:::here"))
	start(t, a)
	e.want("/p", "a stranger:::here")
	e.delete("/p")
	eb.await(locked.EventSelect)
	stop(t, b)
	ea.await(locked.EventSelect)
}

// A stranger's PATH on a lease goes with it.
func TestPathTakenForAWhile(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	lease, err := e.client.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.Put(t.Context(), "/p", "x", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	n := candidate(t, locker(t, e.Endpoint()), "/p", "n")
	events := listen(t, n)
	start(t, n)
	events.await(locked.EventError, naming("/p"))
	e.revoke(int64(lease.ID))
	events.await(locked.EventSelect)
}

// Law 11: an enter that commits after its node was stopped leaves nothing for long, although a sibling keeps the lease alive:
// the sweep resigns for it, here below a namespace. TestLaw12NoPhantom has the same with others that wait, or lead.
func TestEnterCommitsLate(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	client, g := dialGate(t, e)
	l := lockerOn(t, client, locked.WithNamespace("/ns"))
	start(t, candidateFor(t, l, "/sibling", "sibling", time.Second))
	late := candidateFor(t, l, "/p", "late", time.Second)
	enterLate(t, e, g, late, "/ns/p")
	eventually(t, "the sweep", func() bool { return len(e.keys("/ns/p")) == 0 })
	if late.IsSelected() {
		t.Error("selected after the stop")
	}
}

// enterLate has the enter of a node commit after the node was stopped, and sees that it puts a key at the path: the sweep
// may have removed it by then. If the machine held us up until the lease had ended it is done again.
func enterLate(t *testing.T, e *etcdServer, g *gate, n *locked.Node, path string) {
	t.Helper()
	before := e.revision()
	for err := rpctypes.ErrLeaseNotFound; err != nil; {
		lost := g.loseAll(puts(path))
		started := make(chan error, 1)
		go func() { started <- n.Start(t.Context()) }()
		lost.await(t)
		stop(t, n)
		if err := <-started; err == nil {
			t.Fatal("started")
		}
		if err = lost.commit(); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Fatal("the lost transaction:", err)
		}
	}
	for _, events := range e.history(path, before+1) {
		for _, ev := range events {
			if ev.Type == mvccpb.PUT && string(ev.Kv.Value) == n.LocalData() {
				return
			}
		}
	}
	t.Errorf("nothing was put at %s", path)
}

// A node that is stopped while a handover to it is under way resigns, or hands on to the next one: whichever of the two
// transactions comes first.
func TestStoppedDuringHandover(t *testing.T) {
	t.Parallel()
	t.Run("handover first", func(t *testing.T) {
		t.Parallel()
		e := server(t, etcdserver.Config{})
		client, g := dialGate(t, e)
		a, b := candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, lockerOn(t, client), "/p", "b")
		c := candidate(t, locker(t, e.Endpoint()), "/p", "c")
		believing(t, a, b, c)
		eb, ec := listen(t, b), listen(t, c)
		start(t, a, b, c)
		leave := g.delay(deletes("/p:::queue/"))
		stopped := make(chan error, 1)
		go func() { stopped <- b.Stop(t.Context()) }()
		leave.await(t)
		stop(t, a)
		e.want("/p", "b:::value of b")
		leave.release(t)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		ec.await(locked.EventSelect)
		if eb.count(locked.EventSelect) != 0 || ec.count(locked.EventVacant) > 1 {
			t.Error("one that does not want to lead was selected, or PATH was absent")
		}
	})
	t.Run("leave first", func(t *testing.T) {
		t.Parallel()
		e := server(t, etcdserver.Config{})
		client, g := dialGate(t, e)
		a, b := candidate(t, lockerOn(t, client), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
		believing(t, a, b)
		eb := listen(t, b)
		start(t, a, b)
		handover := g.delay(puts("/p"))
		stopped := make(chan error, 1)
		go func() { stopped <- a.Stop(t.Context()) }()
		handover.await(t)
		stop(t, b)
		handover.release(t)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if kvs := e.keys("/p"); len(kvs) != 0 || eb.count(locked.EventSelect) != 0 {
			t.Error("left behind:", kvs)
		}
	})
}

// A handover whose answer is lost is found out about by reading.
func TestHandoverAnswerLost(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	client, g := dialGate(t, e)
	a, b := candidate(t, lockerOn(t, client), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	believing(t, a, b)
	eb := listen(t, b)
	start(t, a, b)
	lost := g.lose(puts("/p"))
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(t.Context()) }()
	lost.await(t)
	if err := <-stopped; err != nil { // by the second attempt
		t.Error(err)
	}
	token := eb.await(locked.EventSelect).Token
	lost.release(t) // and the first one changes nothing any more
	if got := e.only("/p:::term/").CreateRevision; got != token {
		t.Error("token", got, "after", token)
	}
}

// A value whose answer is lost is set in the end, without a new term.
func TestSetValueAnswerLost(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	client, g := dialGate(t, e)
	n := candidate(t, lockerOn(t, client), "/p", "n")
	events := listen(t, n)
	start(t, n)
	token := events.await(locked.EventSelect).Token
	lost := g.lose(puts("/p"))
	if err := n.SetValue(patient(t), "new"); err != nil {
		t.Error(err)
	}
	e.want("/p", "n:::new")
	lost.release(t)
	if err := n.SetValue(patient(t), "newer"); err != nil {
		t.Error(err)
	}
	e.want("/p", "n:::newer")
	if n.Token() != token {
		t.Error("token", n.Token(), "after", token)
	}
}

// etcd is out of space: the leader goes on leading, a claim is refused with an error that says so, and it is repeated until
// there is room again.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a, b := candidate(t, locker(t, e.Endpoint()), "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	c := candidate(t, locker(t, e.Endpoint()), "/p", "c")
	believing(t, a, b, c)
	ea, eb := listen(t, a), listen(t, b)
	start(t, a, b)
	ea.await(locked.EventSelect)
	alarm := func(action pb.AlarmRequest_AlarmAction) {
		t.Helper()
		request := &pb.AlarmRequest{Action: action, Alarm: pb.AlarmType_NOSPACE}
		if _, err := pb.NewMaintenanceClient(e.client.ActiveConnection()).Alarm(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	if err := c.Start(patient(t)); !errors.Is(err, rpctypes.ErrNoSpace) || !strings.Contains(err.Error(), "/p") {
		t.Error("started without space:", err)
	}
	if !a.IsSelected() || ea.count(locked.EventDeselect) != 0 {
		t.Error("the leader was disturbed")
	}
	stop(t, a) // as far as it goes: it resigns
	eb.await(locked.EventError, naming("/p", "out of space"))
	alarm(pb.AlarmRequest_DEACTIVATE)
	eb.await(locked.EventSelect)
	start(t, c)
	checkCandidates(t, locker(t, e.Endpoint()), "/p", "b", "c")
}

// A transaction waits for a connection, as all else does that etcd's client sends, and ends with the error of its context.
func TestTxnWaits(t *testing.T) {
	t.Parallel()
	c, err := etcd.New(dial(t, clientv3.Config{Endpoints: []string{deadEndpoint(t)}}), "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if r := c.Commit(ctx, election.Txn{Then: election.ReadAll("/p")}); !errors.Is(r.Err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Error("a transaction ended with:", r.Err)
	}
}
