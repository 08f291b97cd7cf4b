package test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/hitch"
)

func node(t testing.TB, l *locked.Locker, path string, cfg locked.NodeConfig) *locked.Node {
	t.Helper()
	n, err := l.Node(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lead runs Lead in a goroutine and gives what it returns.
func lead(ctx context.Context, n *locked.Node, fn func(context.Context, *locked.Term) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- n.Lead(ctx, fn) }()
	return done
}

func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatal("timed out waiting for ", what)
		panic("unreachable")
	}
}

// work is a guarded function that tells when it begins and goes on until its context ends.
func work(began chan<- *locked.Term) func(context.Context, *locked.Term) error {
	return func(ctx context.Context, term *locked.Term) error {
		began <- term
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

func TestLeadReturnsWhatTheFunctionDoes(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	want := errors.New("done")
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v"})
	err := within(t, lead(t.Context(), n, func(context.Context, *locked.Term) error { return want }), "Lead")
	if err != want {
		t.Errorf("Lead returned %v, want %v", err, want)
	}
	if _, err := l.Leader(t.Context(), "/a"); !errors.Is(err, locked.ErrNoLeader) {
		t.Errorf("after Lead: %v, want %v", err, locked.ErrNoLeader)
	}
}

// Law 7: leadership is given up on purpose only after the guarded function has returned.
func TestLaw7WorkFirst(t *testing.T) {
	notShort(t)
	t.Parallel()
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	const ttl = 20 * time.Second // longer than any hitch of the machine
	first, second := node(t, l, "/a", locked.NodeConfig{ID: "1", Value: "v", TTL: ttl}), node(t, l, "/a", locked.NodeConfig{ID: "2", Value: "v", TTL: ttl})
	began, ended, release := make(chan *locked.Term, 1), make(chan error, 1), make(chan struct{})
	done := lead(t.Context(), first, func(ctx context.Context, term *locked.Term) error {
		began <- term
		<-ctx.Done()
		ended <- context.Cause(ctx)
		<-release
		return nil
	})
	within(t, began, "the first term")
	elected := make(chan *locked.Term, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done2 := lead(ctx, second, work(elected))
	awaitQueued(t, l, "/a", "2")
	stopped := make(chan error, 1)
	go func() { stopped <- first.Stop(t.Context()) }()
	if cause := within(t, ended, "the end of the term"); cause != locked.ErrStopped {
		t.Errorf("cause %v, want %v", cause, locked.ErrStopped)
	}
	if first.IsSelected() {
		t.Error("selected after Stop")
	}
	lease := clientv3.LeaseID(s.only("/a:::term/").Lease)
	left, renewals := int64(ttl), 0
	eventually(t, "the lease is renewed meanwhile", func() bool {
		resp, err := s.client.TimeToLive(patient(t), lease)
		if err != nil {
			t.Fatal(err)
		}
		if resp.TTL > left {
			renewals++
		}
		left = resp.TTL
		return renewals == 2
	})
	select {
	case <-elected:
		t.Fatal("the next one was elected while the work went on")
	default:
	}
	close(release)
	within(t, elected, "the handover")
	if err := within(t, stopped, "Stop"); err != nil {
		t.Error(err)
	}
	if err := within(t, done, "the first Lead"); err != locked.ErrStopped {
		t.Errorf("Lead returned %v, want %v", err, locked.ErrStopped)
	}
	cancel()
	if err := within(t, done2, "the second Lead"); err != context.Canceled {
		t.Errorf("Lead returned %v, want %v", err, context.Canceled)
	}
}

func awaitQueued(t testing.TB, l *locked.Locker, path, id string) {
	t.Helper()
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		list, err := l.Candidates(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if c.ID == id {
				return
			}
		}
	}
	t.Fatal(id, " did not enter the queue")
}

// Work that never ends is given up on once the caller's context and then the lease's time are over.
func TestHungWorkIsGivenUpOn(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	hitch.Try(t, func(int) error {
		if !giveUpOnHungWork(t, l) {
			return errors.New("the sibling lost its lead")
		}
		return nil
	})
}

// giveUpOnHungWork reports whether a sibling on the same lease went on leading.
func giveUpOnHungWork(t *testing.T, l *locked.Locker) bool {
	first, second := node(t, l, "/a", locked.NodeConfig{ID: "1", Value: "v", TTL: time.Second}), node(t, l, "/a", locked.NodeConfig{ID: "2", Value: "v", TTL: time.Second})
	sibling := node(t, l, "/b", locked.NodeConfig{ID: "1", Value: "v", TTL: time.Second})
	start(t, sibling)
	defer stop(t, sibling)
	led := sibling.Token()
	began, release := make(chan *locked.Term, 1), make(chan struct{})
	done := lead(t.Context(), first, func(ctx context.Context, term *locked.Term) error {
		began <- term
		<-release
		return nil
	})
	term := within(t, began, "the first term")
	elected := make(chan *locked.Term, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done2 := lead(ctx, second, work(elected))
	awaitQueued(t, l, "/a", "2")
	now, end := context.WithCancel(t.Context())
	end()
	if err := first.Stop(now); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	next := within(t, elected, "the next term")
	if next.Token() <= term.Token() {
		t.Errorf("token %d after %d", next.Token(), term.Token())
	}
	leads := sibling.Token()
	if _, err := term.Txn(t.Context()).Then(clientv3.OpPut("/late", "x")).Commit(); err != locked.ErrNotLeader {
		t.Errorf("late write: %v, want %v", err, locked.ErrNotLeader)
	}
	close(release)
	within(t, done, "the first Lead")
	cancel()
	within(t, done2, "the second Lead")
	return leads == led && led != 0
}

// The caller's own compares keep working inside a fenced transaction.
func TestFencedTxn(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Minute})
	var kept *locked.Term
	err := within(t, lead(t.Context(), n, func(ctx context.Context, term *locked.Term) error {
		kept = term
		if term.Remaining() <= 0 || term.Token() != n.Token() {
			t.Errorf("remaining %v, token %d, node's %d", term.Remaining(), term.Token(), n.Token())
		}
		for _, want := range []bool{true, false} {
			resp, err := term.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("/k"), "=", 0)).
				Then(clientv3.OpPut("/k", "1")).Else(clientv3.OpGet("/k")).Commit()
			if err != nil || resp.Succeeded != want {
				t.Errorf("succeeded %v, %v; want %v", resp, err, want)
			}
			if !want && string(resp.Responses[0].GetResponseRange().Kvs[0].Value) != "1" {
				t.Error("the branch Else was not read")
			}
		}
		if resp, err := term.Txn(ctx).Commit(); err != nil || !resp.Succeeded {
			t.Error("an empty transaction:", resp, err)
		}
		return nil
	}), "Lead")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Txn(t.Context()).Then(clientv3.OpPut("/k", "2")).Commit(); err != locked.ErrNotLeader {
		t.Errorf("after the term: %v, want %v", err, locked.ErrNotLeader)
	}
	if kept.Remaining() != 0 {
		t.Error("remaining", kept.Remaining())
	}
}

func TestLeadPanics(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v"})
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v, want boom", r)
			}
		}()
		n.Lead(t.Context(), func(context.Context, *locked.Term) error { panic("boom") })
	}()
	if _, err := l.Leader(t.Context(), "/a"); !errors.Is(err, locked.ErrNoLeader) {
		t.Errorf("after the panic: %v, want %v", err, locked.ErrNoLeader)
	}
}

func TestTransfer(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	ctx := t.Context()
	if err := l.Transfer(ctx, "/a", ""); !errors.Is(err, locked.ErrNoLeader) {
		t.Errorf("nobody leads: %v", err)
	}
	for _, id := range []string{"1", "2", "3"} {
		n := node(t, l, "/a", locked.NodeConfig{ID: id, Value: "v", TTL: time.Minute})
		if err := n.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if id == "1" {
			if err := l.Transfer(ctx, "/a", ""); !errors.Is(err, locked.ErrNoCandidate) {
				t.Errorf("nobody waits: %v", err)
			}
		}
	}
	if err := l.Transfer(ctx, "/a", "4"); !errors.Is(err, locked.ErrNoCandidate) {
		t.Errorf("no such candidate: %v", err)
	}
	if err := l.Transfer(ctx, "/a", "1"); err != nil {
		t.Errorf("to the leader: %v", err)
	}
	order := func() (s string) {
		list, err := l.Candidates(ctx, "/a")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			s += c.ID
		}
		return s
	}
	for _, step := range []struct{ id, want string }{{"3", "321"}, {"", "213"}, {"3", "312"}} {
		if err := l.Transfer(ctx, "/a", step.id); err != nil {
			t.Fatal(err)
		}
		if got := order(); got != step.want {
			t.Errorf("after a transfer to %q: %s, want %s", step.id, got, step.want)
		}
	}
}

// A leader that does not obey in time goes on leading, under a new term, once its work has ended.
func TestTransferNotObeyedInTime(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l, loop := lockerWithLoop(t, s.Endpoint())
	const ttl = time.Minute
	first, second := node(t, l, "/a", locked.NodeConfig{ID: "1", Value: "v", TTL: ttl}), node(t, l, "/a", locked.NodeConfig{ID: "2", Value: "v", TTL: ttl})
	began, release := make(chan *locked.Term, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := lead(ctx, first, func(ctx context.Context, term *locked.Term) error {
		began <- term
		<-ctx.Done()
		<-release
		return nil
	})
	term := within(t, began, "the first term")
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !transferUnheeded(l, term, "2") {
		t.Error("the term did not last until the transfer")
	}
	for pending := true; pending; { // until the leader has heard that nobody waits for it any more
		answer := make(chan bool)
		loop(func() {
			election := look(l, "states").MapIndex(reflect.ValueOf("/a")).Interface()
			answer <- look(election, "view", "Transfer", "Data").String() != ""
		})
		pending = <-answer
	}
	release <- struct{}{}
	next := within(t, began, "the next term")
	if next.Token() <= term.Token() {
		t.Errorf("token %d after %d", next.Token(), term.Token())
	}
	release <- struct{}{}
	cancel()
	within(t, done, "Lead")
}

// transferUnheeded asks for a transfer, and does not wait any more when the leader has heard of it. It reports whether that
// was so.
func transferUnheeded(l *locked.Locker, term *locked.Term, to string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	termCtx := look(term, "ctx").Interface().(context.Context)
	defer context.AfterFunc(termCtx, cancel)()
	err := l.Transfer(ctx, "/a", to)
	return errors.Is(err, context.Canceled) && context.Cause(termCtx) == locked.ErrTransferred
}

// A check that does not return is no etcd that does not answer.
func TestStartWithACheckThatHangs(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint(), locked.WithRequestTimeout(200*time.Millisecond))
	n := node(t, l, "/a", locked.NodeConfig{ID: "1", Value: "v", TTL: 30 * time.Second, Check: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	if err := n.Start(t.Context()); !errors.Is(err, locked.ErrUnhealthy) || errors.Is(err, locked.ErrUnreachable) {
		t.Errorf("%v, want %v", err, locked.ErrUnhealthy)
	}
}

func TestCheck(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	sick := make(chan bool, 1)
	ill := false
	n := node(t, l, "/a", locked.NodeConfig{ID: "1", Value: "v", TTL: time.Second, Check: func(context.Context) error {
		select {
		case ill = <-sick:
		default:
		}
		if ill {
			return errors.New("no disk")
		}
		return nil
	}})
	events := n.Events(t.Context())
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await := func(kind locked.Kind) locked.Event {
		t.Helper()
		for {
			if e := within(t, events, kind.String()); e.Kind == kind {
				return e
			}
		}
	}
	var cause error
	for range 5 { // the lease may end before, if the machine holds us up for long enough, but hardly each time
		await(locked.EventSelect)
		sick <- true
		cause = await(locked.EventDeselect).Cause
		await(locked.EventVacant)
		sick <- false
		if cause != locked.ErrExpired {
			break
		}
	}
	if cause != locked.ErrUnhealthy {
		t.Errorf("deselected for %v", cause)
	}
	await(locked.EventSelect)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Lead waits for a check that fails at first, or that takes longer than a request to etcd may.
func TestLeadWaitsForCheck(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint(), locked.WithRequestTimeout(100*time.Millisecond))
	var calls atomic.Int32
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v", TTL: 2 * time.Second, Check: func(context.Context) error {
		time.Sleep(300 * time.Millisecond)
		if calls.Add(1) == 1 {
			return errors.New("not yet")
		}
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan *locked.Term, 1)
	done := lead(ctx, n, work(began))
	within(t, began, "the term")
	if n := calls.Load(); n < 2 {
		t.Errorf("%d checks, want 2", n)
	}
	cancel()
	if err := within(t, done, "Lead"); err != context.Canceled {
		t.Error(err)
	}
}

// Lead goes on trying while etcd cannot be reached, beyond the request timeout, and leads when it comes.
func TestLeadWaitsForEtcd(t *testing.T) {
	s := server(t, etcdserver.Config{})
	addr := s.Addr()
	s.stop()
	l := locker(t, addr, locked.WithRequestTimeout(200*time.Millisecond))
	n := node(t, l, "/a", locked.NodeConfig{ID: "n", Value: "v"})
	began := make(chan *locked.Term, 1)
	ctx, cancel := context.WithCancel(t.Context())
	events := n.Events(t.Context())
	done := lead(ctx, n, work(began))
	for range 5 { // requests that fail, in more than one attempt
		for e := within(t, events, "an error"); e.Kind != locked.EventError; e = within(t, events, "an error") {
		}
	}
	s.start()
	within(t, began, "the term")
	cancel()
	if err := within(t, done, "Lead"); err != context.Canceled {
		t.Error(err)
	}
}
