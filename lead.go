package locked

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/samcday/locked/internal/election"
)

// Lead competes, and runs fn each time the node is elected, until ctx ends or fn returns by itself. It is the call that
// most programs want.
//
// The context of fn ends with the term, by a timer, [NodeConfig].Grace before anybody else can be elected; its
// [context.Cause] is [ErrExpired], [ErrTransferred], [ErrStopped], [ErrRemoved], [ErrUnhealthy], or that of ctx. Lead then
// waits for fn, and competes again. Leadership is given up on purpose only after fn has returned: after a Stop or for a
// transfer the lease goes on being renewed meanwhile, as long as the context of that call lives. An fn that takes longer,
// or does not end in the time that is left on the lease when its term ends for another cause, is given up on: leadership
// is handed over without waiting for it any more, which is logged and told as an [EventError] event. From then on only the
// fence of [Term.Txn] protects. The node competes again when fn has returned.
//
// When fn returns while its context is alive, the node is stopped, leadership handed over, and Lead returns what fn did.
// Fn must not wait for a Stop of its own node, a Close of its Locker, or a Transfer of its term, which wait for fn: it returns
// instead. Called by fn itself they return [ErrInLead]; in another goroutine that fn waits for, give them the context of fn.
// A panic in fn hands over too, and goes on. Otherwise Lead returns the error of ctx, [ErrStopped] after a Stop by
// somebody else, [ErrStarted] if the node runs already, [ErrClosed], or what etcd refused. That etcd cannot be reached is
// no reason to return. After ctx has ended, Lead returns when fn has, within the Locker's request timeout.
func (n *Node) Lead(ctx context.Context, fn func(ctx context.Context, term *Term) error) error {
	if fn == nil {
		return &ConfigError{"fn", "nil", "a function to run while elected is required"}
	}
	var c *campaign
	for {
		c = &campaign{ctx: ctx, terms: make(chan *Term, 1), over: make(chan struct{})} // a failed start ends its own
		err := n.begin(ctx, c)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, ErrUnreachable) {
			return err
		}
	}
	for {
		select {
		case t := <-c.terms:
			if err, done := n.work(c, t, fn); done {
				n.quit(c)
				return err
			}
		case <-ctx.Done():
			n.quit(c)
			return ctx.Err()
		case <-c.over:
			return ErrStopped
		case <-n.l.closed: // Close has given up on what was left of the node
			return ErrClosed
		}
	}
}

// campaign is a call of Lead.
type campaign struct {
	ctx   context.Context
	terms chan *Term    // of one: the node is not elected again before work has ended
	over  chan struct{} // closed when nothing is left of the node
}

// work runs fn for one term. Done says that it returned by itself.
func (n *Node) work(c *campaign, t *Term, fn func(context.Context, *Term) error) (err error, done bool) {
	returned := false
	n.working.Store(goroutine())
	defer func() {
		n.working.Store(0)
		n.l.post(func() { n.rested(t) })
		if !returned { // it panics, or ends its goroutine
			n.quit(c)
		}
	}()
	err = fn(t.ctx, t)
	returned, done = true, t.ctx.Err() == nil
	return err, done
}

// quit stops the node of a campaign, and waits until it has handed over.
func (n *Node) quit(c *campaign) {
	late := make(chan struct{})
	n.l.post(func() {
		if n.campaign != c {
			return // it is over, and the node may run for somebody else by now
		}
		n.stop(election.Stopped, func(err error) {
			if err != nil {
				close(late)
			}
		})
		n.freeze()
	})
	for {
		select {
		case t := <-c.terms: // it was elected, and fn did not get to run
			n.l.post(func() { n.rested(t) })
		case <-c.over:
			return
		case <-n.l.closed:
			return
		case <-late:
			n.l.log.Warn("not handed over in time, which goes on", "path", n.path, "id", n.id)
			return
		}
	}
}

// begin starts the node, for a campaign if there is one.
func (n *Node) begin(ctx context.Context, c *campaign) error {
	s := &starting{campaign: c, checks: c != nil && n.check != nil}
	start := func(answer func(error)) {
		s.answer = answer
		s.limit = time.AfterFunc(n.l.timeout, func() { n.l.post(func() { n.late(s) }) })
		n.start(s)
	}
	err := n.l.ask(ctx, start, func(err error, _ func(error)) { n.abort(s, err) })
	if err != nil && !errors.Is(err, ErrStarted) && !errors.Is(err, ErrClosed) {
		return failure(err, "starting %s at %s", n.id, n.path)
	}
	return err
}

// late gives up a start that takes longer than etcd may. A campaign waits for the node's check however long that takes,
// and from then on at least as long.
func (n *Node) late(s *starting) {
	unfit := s.campaign != nil && n.entering == s && n.unfit
	switch {
	case s.answered:
	case n.l.barred(n.ttl) > 0:
		s.limit.Reset(n.l.barred(n.ttl) + n.l.timeout)
	case s.checks || unfit:
		s.checks = unfit
		s.limit.Reset(n.l.timeout)
	default:
		n.abort(s, n.l.unreached())
	}
}

// rested notes that the work of a term has ended.
func (n *Node) rested(t *Term) {
	if n.term != t {
		return
	}
	t.cancel(nil)
	n.term, n.frozen = nil, 0
	if _, leads := n.candidate.Leading(); !leads {
		delete(n.l.expiry.nodes, n)
	}
	n.step(election.Input{What: election.Rested})
}

// freeze gives the work that winds down the time that is left on the lease, and no more.
func (n *Node) freeze() {
	if n.term == nil || n.frozen != 0 {
		return
	}
	n.frozen = max(n.deadline, n.group.holding.Deadline(n.candidate.Key().Lease))
	n.l.watchOver(n, n.frozen)
}

// givenUp is what frozen says of work that is not waited for any more.
const givenUp = -1

// overdue gives up on work that has not ended in time: leadership is handed over while it still runs.
func (n *Node) overdue() {
	n.frozen = givenUp
	delete(n.l.expiry.nodes, n)
	n.l.counters.overdue++
	err := fmt.Errorf("locked: the work of the term with token %d at %s goes on although its context has ended: "+
		"handing over without waiting for it", n.term.token, n.path)
	n.l.log.Error("work goes on after its term", "path", n.path, "id", n.id, "token", n.term.token)
	n.emit(Event{Kind: EventError, Token: n.term.token, Cause: err})
	n.step(election.Input{What: election.Overdue})
}

// inLead reports whether a goroutine runs the work of a term of the node. It would wait for itself if it waited for the end of it.
func (n *Node) inLead(caller int64) bool { return caller != 0 && n.working.Load() == caller }

// goroutine is the number of the goroutine that calls it, which Go tells in a stack trace alone.
func goroutine() int64 {
	var text [64]byte
	trace := text[:runtime.Stack(text[:], false)]
	number, _, _ := bytes.Cut(bytes.TrimPrefix(trace, []byte("goroutine ")), []byte(" "))
	id, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
