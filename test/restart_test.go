package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// etcd restarts within the TTL, under a leader and one that waits: the leader goes on, under the same token and without a
// deselect, and so does the queue. Its keys are on another lease afterwards, since the restart began a new raft term.
func TestRestartWithinTTL(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{DataDir: t.TempDir()})
	const ttl = 30 * time.Second // longer than a start on a machine that is busy
	a, b := candidateFor(t, locker(t, e.Endpoint()), "/p", "a", ttl), candidateFor(t, locker(t, e.Endpoint()), "/p", "b", ttl)
	ea, eb, eo := listen(t, a), listen(t, b), observe(t, locker(t, e.Endpoint(), locked.WithTTL(time.Second)), "/p")
	start(t, a, b)
	selected := ea.await(locked.EventSelect)
	eo.await(locked.EventChange)
	term, queued := e.only("/p:::term/"), e.only("/p:::queue/")

	e.stop()
	e.start()
	eventually(t, "both moved to a new lease", func() bool {
		return e.only("/p:::term/").Lease != term.Lease && e.only("/p:::queue/").Lease != queued.Lease
	})
	ea.await(locked.EventRefresh, func(ev locked.Event) bool { return ev.Revision > term.ModRevision })
	if n := ea.count(locked.EventDeselect); n != 0 || a.Token() != selected.Token {
		t.Error("deselected, or the token changed:", a.Token())
	}
	if now := e.only("/p:::queue/"); now.CreateRevision != queued.CreateRevision {
		t.Error("lost its place")
	}
	for _, events := range []*listener{ea, eb, eo} {
		if n := events.count(locked.EventChange); n != 1 {
			t.Errorf("%s was told of %d changes", events.name, n)
		}
		events.next = len(events.soFar())
		events.await(locked.EventPing)
	}
	stop(t, a)
	eb.await(locked.EventSelect)
	eo.await(locked.EventChange, of("b"))
}

// Laws 2 and 8: etcd is away for longer than the TTL. The leader steps down by itself, before its lease could end, and
// somebody leads again when etcd is back, without a call. All are candidates again.
func TestRestartAfterTTL(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{DataDir: t.TempDir()})
	l := locker(t, e.Endpoint())
	const ttl = time.Second
	a, b := candidateFor(t, l, "/p", "a", ttl), candidateFor(t, locker(t, e.Endpoint()), "/p", "b", ttl)
	sibling := candidateFor(t, l, "/q", "sibling", ttl)
	believing(t, a, b)
	ea, eb, es := listen(t, a), listen(t, b), listen(t, sibling)
	start(t, a, b, sibling)
	token := ea.await(locked.EventSelect).Token
	es.await(locked.EventSelect)
	for range 2 {
		e.stop()
		stopped := time.Now()
		es.await(locked.EventDeselect, because(locked.ErrExpired))
		eventually(t, "nobody is selected", func() bool { return !a.IsSelected() && !b.IsSelected() })
		time.Sleep(time.Until(stopped.Add(2 * ttl))) // the outage itself
		if a.IsSelected() || b.IsSelected() || sibling.IsSelected() {
			t.Error("selected without etcd")
		}
		e.start()
		es.await(locked.EventSelect)
		eventually(t, "somebody leads with a larger token, and the other one waits", func() bool {
			return max(a.Token(), b.Token()) > token && len(e.keys("/p:::queue/")) == 1
		})
		token = max(a.Token(), b.Token())
	}
	if ea.count(locked.EventDeselect)+eb.count(locked.EventDeselect) < 2 {
		t.Error("a leader was not told that it is none")
	}
	for _, events := range []*listener{ea, eb} {
		events.next = len(events.soFar())
		events.await(locked.EventPing)
	}
}

// Law 9: what happened during a disconnect is not missed, also if etcd has compacted its history meanwhile, and nothing is
// told that did not happen.
func TestCompactedWhileDisconnected(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	w := newWire(t, e)
	l := locker(t, e.Endpoint())
	far := locker(t, w.endpoint())
	a, b, c := candidate(t, l, "/p", "a"), candidate(t, locker(t, e.Endpoint()), "/p", "b"), candidate(t, far, "/p", "c")
	ec, eo, quiet := listen(t, c), observe(t, far, "/p"), observe(t, far, "/quiet")
	start(t, a, c)
	ec.await(locked.EventChange, of("a"))
	eo.await(locked.EventChange, of("a"))
	quiet.await(locked.EventVacant)

	w.cut()
	start(t, b)
	stop(t, b) // b comes and goes without being elected
	if err := a.SetValue(patient(t), "other"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		e.put("noise", "x")
	}
	now := e.put("noise", "y")
	if _, err := e.client.Compact(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	w.heal()
	for _, events := range []*listener{ec, eo} {
		events.await(locked.EventChange, of("a"), value("other"))
		if n := events.count(locked.EventChange); n != 2 {
			t.Errorf("%s was told of %d changes", events.name, n)
		}
	}
	stop(t, a)
	ec.await(locked.EventSelect)
	eo.await(locked.EventChange, of("c"))
	if n := quiet.count(locked.EventVacant); n != 1 {
		t.Errorf("the observer of /quiet was told %d times that it is vacant", n)
	}
	q := candidate(t, l, "/quiet", "q")
	start(t, q)
	quiet.await(locked.EventChange, of("q"))
}

// Law 2: a leader that is cut off from etcd steps down before another one is elected, and comes back into the queue when
// the connection heals.
func TestCutOffLeader(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	w := newWire(t, e)
	a, b := candidateFor(t, locker(t, w.endpoint()), "/p", "a", time.Second), candidate(t, locker(t, e.Endpoint()), "/p", "b")
	believing(t, a, b)
	ea, eb := listen(t, a), listen(t, b)
	start(t, a, b)
	ea.await(locked.EventSelect)
	w.cut()
	lost := ea.await(locked.EventDeselect, because(locked.ErrExpired))
	won := eb.await(locked.EventSelect)
	if !lost.At.Before(won.At) {
		t.Errorf("deselected at %v, the next one selected at %v", lost.At, won.At)
	}
	w.heal()
	eventually(t, "a waits", func() bool { return len(e.keys("/p:::queue/")) == 1 })
	ea.await(locked.EventChange, of("b"))
	stop(t, b)
	ea.await(locked.EventSelect)
}

// A short disconnect costs nobody anything.
func TestShortDisconnects(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	w := newWire(t, e)
	a, b := candidate(t, locker(t, w.endpoint()), "/p", "a"), candidate(t, locker(t, w.endpoint()), "/p", "b")
	ea, eb := listen(t, a), listen(t, b)
	start(t, a, b)
	ea.await(locked.EventSelect)
	for i := range 5 {
		w.cut()
		w.heal()
		if err := a.SetValue(patient(t), string(rune('A'+i))); err != nil {
			t.Fatal(err)
		}
		eb.await(locked.EventChange, value(string(rune('A'+i))))
	}
	if ea.count(locked.EventDeselect) != 0 {
		t.Error("deselected")
	}
	w.cut()
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(patient(t)) }()
	ea.await(locked.EventDeselect, because(locked.ErrStopped)) // belief ends at once, the handover follows when it can
	w.heal()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	eb.await(locked.EventSelect)
}

// An etcd that was replaced by an empty one says so little that candidates would wait for ever without a word: all who listen
// are told what is wrong.
func TestEtcdGoesBack(t *testing.T) {
	notShort(t)
	t.Parallel()
	e := server(t, etcdserver.Config{DataDir: t.TempDir()})
	for range 50 {
		e.put("x", "y")
	}
	l, err := locked.New(e.Endpoint(), testOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // as its node waits, too
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = l.Close(ctx)
	}()
	n := candidateFor(t, l, "/p", "n", time.Second)
	events, observer := listen(t, n), observe(t, locker(t, e.Endpoint(), locked.WithTTL(time.Second)), "/p")
	wentBack := func(ev locked.Event) bool {
		return ev.Kind == locked.EventError && strings.Contains(ev.Cause.Error(), "has gone back")
	}
	start(t, n)
	for _, heard := range []*listener{events, observer} {
		for range 3 { // at one revision, which is not to go back
			heard.await(locked.EventPing)
		}
		if slices.ContainsFunc(heard.soFar(), wentBack) {
			t.Errorf("%s heard that etcd has gone back", heard.name)
		}
	}
	e.stop()
	e.cfg.DataDir = t.TempDir()
	e.start()
	for _, heard := range []*listener{events, observer} {
		heard.await(locked.EventError, wentBack)
	}
}
