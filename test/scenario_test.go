package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// The seed's first scenario: a single lock.
func TestSingleLock(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{})
	n := candidateFor(t, locker(t, e.Endpoint()), "/master", "node1", 20*time.Second)
	events := listen(t, n)
	if events.await(locked.EventVacant); n.IsSelected() || n.ID() != "" || n.Token() != 0 || n.Remaining() != 0 {
		t.Error("elected before the start:", n.Leader())
	}
	start(t, n)
	change := events.await(locked.EventChange)
	selected := events.await(locked.EventSelect)
	e.want("/master", "node1:::value of node1")
	if change.ID != "node1" || change.Value != "value of node1" || change.Token != selected.Token || change.Path != "/master" {
		t.Error(change)
	}
	if !n.IsSelected() || n.Token() != selected.Token || n.ID() != "node1" || n.Value() != "value of node1" {
		t.Error(n.IsSelected(), n.Token(), n.Leader())
	}
	if left := n.Remaining(); left <= 0 || left > 16*time.Second { // TTL - Grace
		t.Error("remaining:", left)
	}
	if n.LocalID() != "node1" || n.LocalValue() != "value of node1" || n.LocalData() != "node1:::value of node1" {
		t.Error(n.LocalID(), n.LocalValue(), n.LocalData())
	}
	events.await(locked.EventRefresh)
	events.await(locked.EventPing)
	stop(t, n)
	events.await(locked.EventDeselect, because(locked.ErrStopped))
	events.await(locked.EventVacant)
	if n.IsSelected() || n.ID() != "" || n.Token() != 0 || n.Remaining() != 0 {
		t.Error("elected after the stop:", n.Leader())
	}
	if kv := e.get("/master"); kv != nil {
		t.Error("left behind:", kv)
	}
}

// The seed's second scenario: of two competing locks the first stops and the second takes over. The observer and the
// calls that ask etcd see the same.
func TestCompetingLocks(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	a, b := candidate(t, l, "/master", "a"), candidate(t, locker(t, e.Endpoint()), "/master", "b")
	believing(t, a, b)
	ea, eb, eo := listen(t, a), listen(t, b), observe(t, locker(t, e.Endpoint()), "/master")
	start(t, a, b)
	first := ea.await(locked.EventSelect)
	eb.await(locked.EventChange, of("a"))
	eo.await(locked.EventChange, of("a"))
	if b.IsSelected() || b.ID() != "a" || b.Value() != "value of a" {
		t.Error(b.IsSelected(), b.Leader())
	}
	checkCandidates(t, l, "/master", "a", "b")
	stop(t, a)
	second := eb.await(locked.EventSelect)
	if second.Token <= first.Token {
		t.Errorf("token %d follows %d", second.Token, first.Token)
	}
	eb.rewind()
	for _, events := range []*listener{ea, eb, eo} {
		if change := events.await(locked.EventChange, of("b")); change.Token != second.Token || change.Value != "value of b" {
			t.Error(events.name, change)
		}
		if n := events.count(locked.EventVacant); n > 1 {
			t.Errorf("%s saw %d vacancies", events.name, n)
		}
	}
	e.want("/master", "b:::value of b")
	checkCandidates(t, l, "/master", "b")
}

// checkCandidates: Candidates gives the leader and then the queue, Leader and Elections the same leader.
func checkCandidates(t *testing.T, l *locked.Locker, path string, ids ...string) {
	t.Helper()
	candidates, err := l.Candidates(t.Context(), path)
	if err != nil || len(candidates) != len(ids) {
		t.Fatal(candidates, err)
	}
	for i, c := range candidates {
		if c.ID != ids[i] || c.Value != "value of "+ids[i] || (c.Token != 0) != (i == 0) || c.Revision == 0 {
			t.Errorf("candidate %d: %+v", i, c)
		}
	}
	leader, err := l.Leader(t.Context(), path)
	if err != nil || leader.ID != ids[0] || leader.Token != candidates[0].Token || leader.Path != path {
		t.Error(leader, err)
	}
	all, err := l.Elections(t.Context(), path)
	if err != nil || !slices.Contains(all, leader) {
		t.Error(all, err)
	}
}

// The keys are the contract with other languages: PATH and PATH:::term/NONCE of the leader with the same value, lease and
// revision, PATH:::queue/NONCE of each that waits.
func TestKeys(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a, b := candidate(t, locker(t, e.Endpoint()), "/master", "a"), candidate(t, locker(t, e.Endpoint()), "/master", "b")
	start(t, a, b)
	path, term, queue := e.get("/master"), e.only("/master:::term/"), e.only("/master:::queue/")
	if got := len(e.keys("/master")); got != 3 {
		t.Errorf("%d keys", got)
	}
	if string(path.Value) != "a:::value of a" || string(term.Value) != "a:::value of a" || string(queue.Value) != "b:::value of b" {
		t.Errorf("%s, %s, %s", path.Value, term.Value, queue.Value)
	}
	if path.ModRevision != term.ModRevision || path.Lease != term.Lease || path.Lease == 0 || queue.Lease == 0 || queue.Lease == path.Lease {
		t.Error(path, term, queue)
	}
	if term.CreateRevision != a.Token() {
		t.Errorf("token %d of %v", a.Token(), term)
	}

	// The queue key becomes the term key, under the same nonce, on the waiting node's lease.
	stop(t, a)
	next, now := e.only("/master:::term/"), e.get("/master")
	if string(next.Key) != "/master:::term/"+string(queue.Key[len("/master:::queue/"):]) || next.Lease != queue.Lease || now.Lease != queue.Lease {
		t.Error(next, now, queue)
	}
}

// An election below another one has nothing to do with it, nor have those whose names only begin alike.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	paths := []string{"/a", "/a/b", "/a:b", "/a::b", "/ab", "/A", "/a "}
	nodes := make([]*locked.Node, len(paths))
	for i, path := range paths {
		nodes[i] = candidate(t, l, path, fmt.Sprint("of ", path))
		events := listen(t, nodes[i])
		start(t, nodes[i])
		events.await(locked.EventSelect)
		e.want(path, nodes[i].LocalData())
	}
	got, err := l.Elections(t.Context(), "/a")
	if err != nil {
		t.Fatal(err)
	}
	var below []string
	for _, leader := range got {
		if leader.ID != "of "+leader.Path {
			t.Error(leader)
		}
		below = append(below, leader.Path)
	}
	want := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == "/A" })
	slices.Sort(below)
	slices.Sort(want)
	if !slices.Equal(below, want) {
		t.Errorf("below /a: %q, want %q", below, want)
	}
	if all, err := l.Elections(t.Context(), ""); err != nil || len(all) != len(paths) {
		t.Error(all, err)
	}
	events := listen(t, nodes[1])
	events.await(locked.EventSelect)
	stop(t, nodes[0])
	e.want("/a/b", nodes[1].LocalData())
	for _, n := range nodes[1:] {
		if !n.IsSelected() {
			t.Error(n.Path(), "is not selected any more")
		}
	}
}

// Elections reads all pages, at one revision.
func TestManyElections(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	const n = 700 // three keys each with the one that waits; nodes would take minutes to put them
	for i := range n {
		path, first, second := fmt.Sprintf("/many/%03d", i), election.Join("first", "v"), election.Join("second", "v")
		_, err := e.client.Txn(t.Context()).Then(
			clientv3.OpPut(path, first), clientv3.OpPut(election.TermPrefix(path)+"a", first),
			clientv3.OpPut(election.QueuePrefix(path)+"b", second)).Commit()
		if err != nil {
			t.Fatal(err)
		}
	}
	defer e.client.Delete(context.Background(), "/many/", clientv3.WithPrefix())
	got, err := l.Elections(t.Context(), "/many/")
	if err != nil || len(got) != n {
		t.Fatal(len(got), err)
	}
	for i, leader := range got {
		if want := fmt.Sprintf("/many/%03d", i); leader.Path != want || leader.ID != "first" || leader.Token == 0 {
			t.Fatal(leader, "want", want)
		}
	}
}

// A node can be started again after a stop, and is refused while it runs.
func TestStartAgain(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	n, same := candidate(t, l, "/p", "n"), candidate(t, l, "/p", "n")
	events := listen(t, n)
	token := int64(0)
	for range 5 {
		start(t, n)
		if s := events.await(locked.EventSelect); s.Token <= token {
			t.Errorf("token %d follows %d", s.Token, token)
		} else {
			token = s.Token
		}
		for _, n := range []*locked.Node{n, same} {
			if err := n.Start(t.Context()); !errors.Is(err, locked.ErrStarted) {
				t.Error("started twice:", err)
			}
		}
		stop(t, n)
		stop(t, n)
		events.await(locked.EventDeselect, because(locked.ErrStopped))
		events.await(locked.EventVacant)
	}
	start(t, same)
	stop(t, same)

	other := candidate(t, l, "/p", "other") // another id may run beside it, and the same id at another path
	elsewhere := candidate(t, l, "/q", "n")
	start(t, n, other, elsewhere)
	checkCandidates(t, l, "/p", "n", "other")
}

// Two Lockers may have nodes of the same path and id: they are two candidates.
func TestSameID(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a, b := candidate(t, locker(t, e.Endpoint()), "/p", "twin"), candidate(t, locker(t, e.Endpoint()), "/p", "twin")
	believing(t, a, b)
	ea, eb := listen(t, a), listen(t, b)
	start(t, a, b)
	first := ea.await(locked.EventSelect)
	if b.IsSelected() {
		t.Error("both are selected")
	}
	stop(t, a)
	if second := eb.await(locked.EventSelect); second.Token <= first.Token {
		t.Error(first, second)
	}
	start(t, a)
	stop(t, b)
	ea.await(locked.EventSelect)
}

// SetValue changes the value of a leader and of one that waits, in etcd and as an event: the token and the place in the
// queue stay.
func TestSetValue(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	a, b, c := candidate(t, l, "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b"), candidate(t, locker(t, e.Endpoint()), "/p", "c")
	ea, eb, eo := listen(t, a), listen(t, b), observe(t, l, "/p")
	set := func(n *locked.Node, v string) {
		t.Helper()
		if err := n.SetValue(patient(t), v); err != nil {
			t.Fatal(err)
		}
		if n.LocalValue() != v {
			t.Error("local value:", n.LocalValue())
		}
	}
	set(a, "before the start")
	start(t, a, b, c)
	selected := ea.await(locked.EventSelect)
	if selected.Value != "before the start" {
		t.Error(selected)
	}
	queued := e.keys("/p:::queue/")
	set(a, "leading")
	set(b, "waiting")
	e.want("/p", "a:::leading")
	e.want(string(e.only("/p:::term/").Key), "a:::leading")
	for _, events := range []*listener{ea, eb, eo} {
		if change := events.await(locked.EventChange, value("leading")); change.Token != selected.Token || change.ID != "a" {
			t.Error(events.name, change)
		}
	}
	if a.Token() != selected.Token || a.Value() != "leading" || ea.count(locked.EventDeselect) != 0 {
		t.Error(a.Token(), a.Leader())
	}
	candidates, err := l.Candidates(t.Context(), "/p")
	if err != nil || len(candidates) != 3 || candidates[1].ID != "b" || candidates[1].Value != "waiting" || candidates[2].ID != "c" {
		t.Error(candidates, err)
	}
	if now := e.get(string(queued[0].Key)); now.CreateRevision != queued[0].CreateRevision {
		t.Error("lost its place:", queued[0], now)
	}
	stop(t, a)
	eb.await(locked.EventSelect, value("waiting"))
	e.want("/p", "b:::waiting")

	set(a, "stopped")
	start(t, a)
	stop(t, b)
	stop(t, c)
	ea.await(locked.EventSelect, value("stopped"))

	var bad *locked.ConfigError
	if err := a.SetValue(t.Context(), ""); !errors.As(err, &bad) || a.LocalValue() != "stopped" {
		t.Error(err)
	}
}

// Many values set in a row: the last one stays, and each change is told in order.
func TestSetValueOften(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	a := candidate(t, locker(t, e.Endpoint()), "/p", "a")
	events := observe(t, locker(t, e.Endpoint()), "/p")
	start(t, a)
	for i := range 100 {
		go a.SetValue(t.Context(), fmt.Sprint("other ", i))
		if err := a.SetValue(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all values were set", func() bool { return a.Value() == a.LocalValue() })
	if err := a.SetValue(t.Context(), "the last"); err != nil {
		t.Fatal(err)
	}
	events.await(locked.EventChange, value("the last"))
	if !a.IsSelected() {
		t.Error("not selected any more")
	}
}

// Stop with a context that has ended gives up belief at once and hands over in the background.
func TestStopWithoutWaiting(t *testing.T) {
	t.Parallel()
	_, a, b, ea, eb := rivals(t)
	ea.await(locked.EventSelect)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Stop(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ea.await(locked.EventDeselect, because(locked.ErrStopped))
	if a.IsSelected() {
		t.Error("still selected")
	}
	eb.await(locked.EventSelect)
	if eb.count(locked.EventVacant) > 1 {
		t.Error("a gap")
	}

	// A start waits for the stop to be done, whoever asked for that.
	b.Stop(ended)
	start(t, b)
	eb.await(locked.EventSelect)
}

// Start with a context that has ended, or that ends meanwhile, leaves nothing in etcd and can be repeated.
func TestStartWithoutWaiting(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	n := candidate(t, l, "/p", "n")
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		err := n.Start(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err == nil {
			stop(t, n)
		}
		if i%3 == 0 {
			start(t, n)
			stop(t, n)
		}
	}
	eventually(t, "nothing is left", func() bool { return len(e.keys("/p")) == 0 })
}

// Starts and stops that run into one another end in what the last one asked for.
func TestStartStopRace(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	n := candidate(t, l, "/p", "n")
	for range 50 {
		started := make(chan error, 1)
		go func() { started <- n.Start(t.Context()) }()
		stop(t, n)
		if err := <-started; err != nil && !errors.Is(err, locked.ErrStopped) {
			t.Fatal(err)
		}
		stop(t, n)
		if len(e.keys("/p")) != 0 || n.IsSelected() {
			t.Fatal("runs after a stop")
		}
	}
}
