package locked

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// Errors of [Locker.Transfer].
var (
	// ErrNoCandidate says that nobody with that id, or nobody at all, waits to be elected.
	ErrNoCandidate = errors.New("locked: no such candidate waits")
	// ErrTransferPending says that another transfer was asked for and is not done yet.
	ErrTransferPending = errors.New("locked: another transfer is pending")
	// ErrTransferFailed says that the leader gave up its term, but somebody else than the one named was elected, or that
	// it refused, since the one named had left the queue.
	ErrTransferFailed = errors.New("locked: the candidate left before it could be elected")
)

// Transfer asks the elected node of the path to hand over to the candidate with that id, or to the next in line if id is
// empty, and returns when that is elected. The old leader goes to the end of the queue. A leader with guarded work hands
// over when that has ended. To transfer to the one that leads already does nothing.
//
// It returns [ErrNoLeader], [ErrNoCandidate], [ErrTransferPending], [ErrTransferFailed], [ErrUnreachable], [ErrClosed], what
// etcd refused, or the context's error when the leader did not obey in time; the request then vanishes, though a leader that
// has begun to obey may still hand over. Without a deadline it waits for as long as the leader's work takes: to the function of
// [Node.Lead] whose own term that is it returns [ErrInLead].
func (l *Locker) Transfer(ctx context.Context, path, id string) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	if id != "" {
		if err := checkName("ID", id, MaxIDSize); err != nil {
			return err
		}
	}
	if l.ctx.Err() != nil {
		return ErrClosed
	}
	caller := goroutine()
	own := func(answer func(error)) {
		if l.inLead(caller, path) {
			answer(ErrInLead)
		} else {
			answer(nil)
		}
	}
	if err := l.ask(ctx, own, func(err error, answer func(error)) { answer(err) }); errors.Is(err, ErrInLead) {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(l.ctx, cancel)
	defer stop()
	t := transfer{l: l, path: path, id: id}
	err := t.run(ctx)
	if err != nil && l.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// transfer is one call of Transfer.
type transfer struct {
	l        *Locker
	path, id string
	lease    int64 // of the request, which ends with the call
}

// transferTTL is how long a request outlives a requester that died.
const transferTTL = 5 * time.Second

func (t *transfer) run(ctx context.Context) error {
	defer t.end(ctx)
	for {
		view, err := t.read(ctx)
		if err != nil {
			return err
		}
		switch successor := t.successor(view); {
		case !view.Term.Exists():
			return ErrNoLeader
		case t.id != "" && idOf(view.Term) == t.id:
			return nil
		case !successor.Exists():
			return ErrNoCandidate
		default:
			done, err := t.attempt(ctx, view, idOf(successor))
			if done || err != nil {
				return err
			}
			clock.Pause(ctx, clock.Backoff(1, time.Second)) // a watch that is refused at once must not make this spin
		}
	}
}

func idOf(k election.Key) string {
	id, _, _ := election.Split(k.Data)
	return id
}

// successor is whom the leader is to hand over to, by the view.
func (t *transfer) successor(v *election.View) election.Key {
	if t.id == "" {
		return v.Head()
	}
	return v.WaitingID(t.id)
}

func (t *transfer) read(ctx context.Context) (*election.View, error) {
	resp, err := t.l.get(ctx, t.path, election.Prefix(t.path), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	return etcd.View(t.path, resp), nil
}

// attempt puts the request to the term that the view shows, and waits for what becomes of it. Not done says that the same
// leader has begun another term, and must be asked again.
func (t *transfer) attempt(ctx context.Context, view *election.View, successor string) (done bool, err error) {
	if err := t.keep(ctx); err != nil {
		return false, t.failed(ctx, err)
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := t.l.etcd.Follow(watching, election.Prefix(t.path))
	if _, ok := <-watch; !ok {
		return false, t.lost(ctx)
	}
	txn, ok := election.RequestTransfer(t.path, view, t.id, t.lease)
	if !ok {
		return false, ErrTransferPending
	}
	r := t.l.etcd.Commit(ctx, txn)
	if r.Err != nil {
		return false, t.failed(ctx, r.Err)
	}
	if !r.Succeeded { // somebody was faster: look again
		return false, ctx.Err()
	}
	done, err = t.wait(ctx, cancel, watch, view.Term, r.Revision, successor)
	if watching.Err() != nil { // the request has vanished with its lease
		t.lease = 0
	}
	return done, err
}

// wait watches until the request was obeyed, refused, or overtaken, and has it kept alive meanwhile. Over ends the watch: it is
// called when the request has vanished with its lease, as in an etcd that has gone back, which no watch might tell.
func (t *transfer) wait(ctx context.Context, over func(), watch clientv3.WatchChan, from election.Key, revision int64, successor string) (bool, error) {
	limited, cancel := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Add(1)
	go func() {
		defer keeping.Done()
		if t.keepAlive(limited) {
			over()
		}
	}()
	defer keeping.Wait()
	defer cancel()
	for resp := range watch {
		if resp.Err() != nil {
			break
		}
		if done, again, err := t.judge(resp.Events, from, revision, successor); done || again {
			return done, err
		}
	}
	return false, t.lost(ctx)
}

// keepAlive renews the lease of the request until ctx ends, or until the lease is gone. Each attempt may take as long as there is
// between two.
func (t *transfer) keepAlive(ctx context.Context) (gone bool) {
	const every = transferTTL / 3
	for clock.Pause(ctx, every); ctx.Err() == nil; clock.Pause(ctx, every) {
		limited, cancel := context.WithTimeout(ctx, every)
		err := t.l.etcd.KeepAlive(limited, t.lease)
		cancel()
		switch {
		case etcd.Gone(err):
			return true
		case err != nil && ctx.Err() == nil:
			t.l.log.Warn("transfer request not kept alive", "path", t.path, "error", err)
		}
	}
	return false
}

// judge tells from events after the request what became of it, if anything did. Again says that the leader has begun
// another term and must be asked anew.
func (t *transfer) judge(events []*clientv3.Event, from election.Key, revision int64, successor string) (done, again bool, err error) {
	refused := false
	for _, e := range events {
		_, part, _ := election.ParseKey(string(e.Kv.Key))
		deleted := e.Type == clientv3.EventTypeDelete
		switch id := idOf(etcd.Change(e.Kv, false).Key); {
		case e.Kv.ModRevision <= revision:
		case part == election.PartTerm && !deleted && e.Kv.CreateRevision != from.Create:
			switch {
			case id == successor, t.id == "" && id != idOf(from):
				return true, false, nil
			case id == idOf(from):
				return false, true, nil
			}
			return true, false, ErrTransferFailed
		case part == election.PartTerm && deleted: // the leader is gone: wait who is next
			refused = false
		case part == election.PartTransfer && deleted:
			refused = true
		}
	}
	if refused && !hasTerm(events) {
		return true, false, ErrTransferFailed // the candidate has left, and the leader stays
	}
	return false, false, nil
}

// hasTerm reports whether a term ended or began among the events, which were all of one revision or later ones.
func hasTerm(events []*clientv3.Event) bool {
	for _, e := range events {
		if _, part, _ := election.ParseKey(string(e.Kv.Key)); part == election.PartTerm {
			return true
		}
	}
	return false
}

// lost is the error of a watch that ended; without one the transfer looks again.
func (t *transfer) lost(ctx context.Context) error {
	if ctx.Err() != nil {
		return failure(ctx.Err(), "transferring %s", t.path)
	}
	return nil
}

// failed is the error of a request to etcd.
func (t *transfer) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return t.lost(ctx)
	case etcd.Unanswered(err): // its own, not the caller's
		return failure(t.l.unreached(), "transferring %s", t.path)
	}
	return fmt.Errorf("locked: %w", t.l.etcd.Explain(t.path, "transfer", err))
}

// keep gives the request a lease of its own, kept alive for the call.
func (t *transfer) keep(ctx context.Context) error {
	if t.lease != 0 {
		return nil
	}
	lease, err := t.l.etcd.Lend(ctx, transferTTL)
	t.lease = lease
	return err
}

// end takes the request back, if it is still there. A caller who does not wait any more hardly waits for that.
func (t *transfer) end(ctx context.Context) {
	if t.lease == 0 {
		return
	}
	limit := time.Second
	if ctx.Err() != nil {
		limit /= 10
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := t.l.etcd.Return(ctx, t.lease); err != nil {
		t.l.log.Debug("transfer request ends by itself", "path", t.path, "error", err)
	}
}
