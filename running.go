package locked

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// What the loop does with a node.

// starting is a call of Start that has not returned.
type starting struct {
	campaign *campaign // nil for a plain Start
	checks   bool      // it waits for the campaign's check
	limit    *time.Timer
	answer   func(error)
	answered bool
}

func (s *starting) done(err error) {
	s.limit.Stop()
	s.answered = true
	s.answer(err)
}

func (n *Node) start(s *starting) {
	switch {
	case n.l.closing:
		s.done(ErrClosed)
	case n.stopping: // an earlier Stop is not done yet
		n.next = append(n.next, s)
	case n.running || n.l.runs(n.path, n.id):
		s.done(ErrStarted)
	default:
		n.running, n.forsaken, n.failure, n.complaint, n.entering, n.campaign = true, false, nil, "", s, s.campaign
		n.candidate.Guard(n.campaign != nil)
		n.group = n.l.join(n)
		st := n.l.state(n.path)
		n.l.watches.Pace()
		n.attach(st)
		if n.check != nil {
			n.unfit = true
			n.keepChecking()
		} else {
			n.step(election.Input{What: election.Enter, Data: n.LocalData()})
		}
		if n.unfit || !n.candidate.Busy() && n.group.granting == nil { // otherwise when it has entered, which opening a watch would delay
			st.follow()
		}
	}
}

// abort gives up a start that has not succeeded.
func (n *Node) abort(s *starting, err error) {
	n.next = slices.DeleteFunc(n.next, func(other *starting) bool { return other == s })
	switch {
	case n.entering == s && n.unfit && errors.Is(err, ErrUnreachable): // etcd was not even asked
		if err = n.failure; err == nil {
			err = fmt.Errorf("%w: %w", ErrUnhealthy, errCheckTimeout)
		}
	case n.entering == s && n.failure != nil:
		err = fmt.Errorf("%w: %w", err, n.failure)
	}
	if n.entering == s {
		n.entered(err)
		n.stop(election.Stopped, func(error) {})
	}
	s.done(err)
}

// entered answers the Start that waits.
func (n *Node) entered(err error) {
	if n.entering != nil {
		n.entering.done(err)
		n.entering = nil
	}
}

func (n *Node) stop(cause election.Cause, answer func(error)) {
	if !n.running {
		answer(nil)
		return
	}
	n.leaving = append(n.leaving, answer)
	if n.stopping {
		if n.unanswered { // etcd was given its time, and may be back by now
			n.unanswered = false
			n.leaveBy.Reset(n.l.timeout / 10)
		}
		return
	}
	n.stopping = true
	n.entered(ErrStopped)
	n.step(election.Input{What: election.Leave, Cause: cause})
	if n.running && n.candidate.Gone() { // it was out of the queue before
		n.gone()
	}
	n.hurry()
}

// hurry bounds the time in which a node that stops has to be gone, once its work does not keep it any more. Those who wait are
// answered then, and it goes on leaving.
func (n *Node) hurry() {
	if !n.running || !n.stopping || n.works() {
		return
	}
	if n.leaveBy == nil {
		var timer *time.Timer
		timer = time.AfterFunc(n.l.timeout, func() {
			n.l.post(func() {
				if n.leaveBy == timer {
					n.unanswered = true
					n.hurry()
				}
			})
		})
		n.leaveBy = timer
	}
	if !n.unanswered || len(n.leaving) == 0 {
		return
	}
	err := n.l.unreached()
	if n.failure != nil {
		err = fmt.Errorf("%w: %w", err, n.failure)
	}
	answerAll(&n.leaving, err)
}

// works reports whether leadership is not handed over because of the work of a term.
func (n *Node) works() bool { return n.term != nil && n.frozen != givenUp }

func (n *Node) set(value string, answer func(error)) {
	if n.l.closing {
		answer(ErrClosed)
		return
	}
	n.value.Store(&value)
	if !n.running || n.stopping || n.unfit && n.candidate.Gone() { // it enters with its value as it is then
		answer(nil)
		return
	}
	n.settling = append(n.settling, answer)
	n.step(election.Input{What: election.Set, Data: n.LocalData()})
}

// step tells the candidate something, and does what it asks for.
func (n *Node) step(in election.Input) {
	if !n.running {
		return
	}
	in.At, in.View, in.Holding = n.l.clock.Now(), &n.state.Load().view, &n.group.holding
	actions := n.candidate.Step(in)
	n.prolong() // or shorten, before anything is sent that could shorten it
	for _, a := range actions {
		n.do(a)
	}
	if n.running {
		n.follow()
		n.hurry()
	}
}

func (n *Node) do(a election.Action) {
	switch a.Do {
	case election.Ask:
		n.commit(a)
	case election.Select:
		n.selected()
	case election.Deselect:
		n.deselected(causes[a.Cause])
	case election.Wait:
		time.AfterFunc(clock.Backoff(a.Attempt, time.Second), func() {
			n.l.post(func() { n.step(election.Input{What: election.Woke}) })
		})
	case election.Foreign:
		n.foreign()
	case election.Out:
		n.gone()
	}
}

// commit sends the candidate's transaction, and tells it what came of it.
func (n *Node) commit(a election.Action) {
	n.l.batches.Submit(n.path, a.Txn, func(r etcd.Result) { n.committed(a, r) })
}

func (n *Node) committed(a election.Action, r etcd.Result) {
	if !n.running {
		return
	}
	reply := election.Reply{Seq: a.Seq, Result: etcd.Outcome(r.Err), Revision: r.Revision}
	reply.Doubt = errors.Is(r.Err, rpctypes.ErrNoSpace) // which etcd says after it has applied the transaction
	switch {
	case r.Err != nil:
		n.failed(a.Kind.String(), r.Err)
	case !r.Succeeded:
		reply.Result = election.Refused
		fallthrough
	default:
		n.complaint = ""
	}
	if !n.running {
		return // it failed for good
	}
	n.state.Load().follow()
	if a.Kind == election.Entry && r.Succeeded {
		r.Seen = entry(a.Txn, r.Revision)
	}
	if r.Seen != nil {
		n.state.Load().saw(r.Seen)
	}
	n.step(election.Input{What: election.Answer, Reply: reply})
	n.state.Load().watchPath()
	if reply.Result == election.Denied && !reply.Doubt && n.running && (n.stopping || n.unfit) && onlyDeletes(a.Kind) {
		n.group.forsake(n)
		answerAll(&n.leaving, n.failure)
	}
}

// onlyDeletes reports whether a transaction only takes away what its candidate has in etcd. If that is refused, nothing else is
// left to try.
func onlyDeletes(kind election.Kind) bool {
	switch kind {
	case election.Exit, election.Resign, election.Drop, election.Clear:
		return true
	}
	return false
}

// entry is the election as it was when somebody had entered an empty one: there is nothing but what was put.
func entry(txn election.Txn, revision int64) *etcd.Snapshot {
	s := &etcd.Snapshot{Revision: revision}
	for _, op := range txn.Then {
		key := election.Key{Data: op.Value, Create: revision, Mod: revision, Lease: op.Lease}
		s.Changes = append(s.Changes, election.Change{Name: op.Key, Key: key})
	}
	return s
}

// failed tells the user of a request that failed. It is repeated, unless it was the first of a start and will not succeed
// by itself: that fails the start.
func (n *Node) failed(request string, err error) {
	n.failure = n.l.etcd.Explain(n.path, request, err)
	if request == election.HandOver.String() && errors.Is(err, rpctypes.ErrPermissionDenied) {
		n.failure = fmt.Errorf("hand over %s: %w: the etcd user must not use the successor's lease, which has keys that its "+
			"roles do not cover: giving up the term without a successor", n.path, err)
	}
	n.l.log.Debug("request failed", "path", n.path, "id", n.id, "request", request, "error", err)
	if cause := etcd.Cause(err); cause != n.complaint {
		n.complaint = cause
		n.emit(Event{Kind: EventError, Cause: n.failure})
		if etcd.Final(err) { // otherwise it is an outage, or none to speak of
			n.l.log.Warn("etcd refuses", "path", n.path, "id", n.id, "error", n.failure)
		}
	}
	if etcd.Final(err) && n.entering != nil {
		n.entered(n.failure)
		n.stop(election.Stopped, func(error) {})
	}
	if etcd.Gone(err) {
		n.group.lost(n.candidate.AskedLease())
	}
	if etcd.Final(err) && request == election.Rewrite.String() {
		answerAll(&n.settling, n.failure)
	}
}

// prolong moves the end of belief to what the candidate concludes from its leases.
func (n *Node) prolong() {
	key, leads := n.candidate.Leading()
	if b := n.belief.Load(); leads && b != nil && b.token == key.Create {
		b.extend(n.l.clock.Now(), n.candidate.Until(&n.group.holding))
	}
}

// follow does what depends on where the candidate stands after a step.
func (n *Node) follow() {
	_, leads := n.candidate.Leading()
	if n.candidate.Place() == election.Elected {
		n.state.Load().announce(n.candidate.Key(), n.candidate.Key().Mod)
	}
	if n.candidate.Place() != election.Nowhere {
		n.entered(nil)
	}
	if n.candidate.Settled() {
		answerAll(&n.settling, nil)
	}
	if n.term != nil && !leads && n.cause == ErrTransferred && !n.candidate.Requested(&n.state.Load().view) {
		n.freeze() // whoever asked for the transfer does not wait any more
	}
	n.group.prune()
}

func (n *Node) selected() {
	key, _ := n.candidate.Leading()
	b := &belief{token: key.Create}
	b.until.Store(int64(n.candidate.Until(&n.group.holding)))
	n.state.Load().announce(key, key.Mod)
	n.belief.Store(b)
	n.l.watchOver(n, time.Duration(b.until.Load()))
	n.l.counters.terms++
	n.l.log.Info("selected", "path", n.path, "id", n.id, "token", key.Create)
	n.emit(Event{Kind: EventSelect, Token: key.Create, Revision: key.Mod})
	if n.campaign != nil {
		n.term = n.newTerm(b)
		n.l.watchdog.watch(n.term)
		n.campaign.terms <- n.term
	}
}

// deselected ends a term: it stops the work, tells, and leaves it to the candidate to wait for that and to release.
func (n *Node) deselected(cause error) {
	b, now := n.belief.Load(), n.l.clock.Now()
	n.cause, n.deadline = cause, now+b.remaining(now)+n.grace
	b.holds(now) // if not, that notes when it ran out
	b.end()
	if n.term != nil {
		n.l.watchdog.letGo(n.term)
		n.term.cancel(cause)
	}
	delete(n.l.expiry.nodes, n)
	n.l.counters.ends[cause]++
	n.l.log.Info("deselected", "path", n.path, "id", n.id, "token", b.token, "cause", cause)
	n.emit(Event{Kind: EventDeselect, Token: b.token, Cause: cause, At: n.endOf(b)})
	if n.term != nil && (cause == ErrExpired || cause == ErrRemoved || cause == ErrUnhealthy) {
		n.freeze()
	}
}

// endOf is when a belief ended: before now, if nobody had the time to notice.
func (n *Node) endOf(b *belief) time.Time {
	now := time.Now()
	if ended := time.Duration(b.ended.Load()); ended != 0 {
		return now.Add(ended - n.l.clock.Now())
	}
	return now
}

// gone ends the run of a node of which nothing is left.
func (n *Node) gone() {
	if n.unfit && !n.stopping { // it enters again when its check passes, with its value as it is then
		answerAll(&n.settling, nil)
		return
	}
	n.running, n.stopping = false, false
	if n.leaveBy != nil {
		n.leaveBy.Stop()
		n.leaveBy, n.unanswered = nil, false
	}
	n.group.leave(n)
	n.group = nil
	if n.checks != nil {
		n.checks()
	}
	n.detach()
	n.entered(ErrStopped)
	answerAll(&n.settling, ErrStopped)
	if n.campaign != nil {
		close(n.campaign.over)
		n.campaign = nil
	}
	answerAll(&n.leaving, nil)
	next := n.next
	n.next = nil
	for _, s := range next {
		n.start(s)
	}
}

func answerAll(list *[]func(error), err error) {
	waiting := *list
	*list = nil
	for _, answer := range waiting {
		answer(err)
	}
}

func (n *Node) attach(st *electionState) {
	n.state.Store(st)
	st.nodes = append(st.nodes, n)
}

// foreign tells the user of a stranger at the path.
func (n *Node) foreign() {
	stranger := n.state.Load().view.Path
	n.emit(Event{Kind: EventError, Revision: stranger.Mod, Cause: fmt.Errorf(
		"locked: %s is held by somebody who does not compete for it, with the value %s: waiting until it is deleted",
		n.path, abbreviate(stranger.Data))})
}

// emit tells those who listen to this node.
func (n *Node) emit(e Event) {
	e.Path = n.path
	if e.Kind == EventSelect || e.Kind == EventDeselect || e.Kind == EventRefresh {
		e.ID, e.Value = n.id, n.LocalValue()
	}
	n.state.Load().tell(e, func(s *subscription) bool { return s.node == n })
}

func (n *Node) detach() {
	st := n.state.Load()
	st.nodes = slices.DeleteFunc(st.nodes, func(other *Node) bool { return other == n })
	st.watchPath()
	st.release()
}
