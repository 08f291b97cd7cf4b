package locked

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// electionState is one election as this Locker knows it, as long as a node of it runs or somebody listens. It belongs to the
// loop, but for leader.
type electionState struct {
	l      *Locker
	path   string
	leader atomic.Pointer[Leader]

	view election.View
	told int64 // revision up to which everything was announced; 0 while nothing was

	complaint error // what everybody was told that watches fail for; nil once they tell something

	nodes     []*Node // that run
	subs      []*subscription
	watch     *watch // of all keys but PATH, or of the term alone while no node runs
	pathWatch *watch // while a candidate needs it
}

// state gives the one for a path, which must be put to use or released.
func (l *Locker) state(path string) *electionState {
	st := l.states[path]
	if st == nil {
		st = &electionState{l: l, path: path}
		st.leader.Store(&Leader{})
		l.states[path] = st
	}
	return st
}

// runs reports whether a node with that path and id runs.
func (l *Locker) runs(path, id string) bool {
	if st := l.states[path]; st != nil {
		for _, n := range st.nodes {
			if n.id == id {
				return true
			}
		}
	}
	return false
}

// release ends the state if nobody has a use for it.
func (st *electionState) release() {
	if len(st.nodes) > 0 || len(st.subs) > 0 {
		return
	}
	st.watch.close()
	st.pathWatch.close()
	st.leader.Store(&Leader{})
	delete(st.l.states, st.path)
}

// follow makes sure that the election is watched: nodes need all of it, others the term.
func (st *electionState) follow() {
	whole := len(st.nodes) > 0
	if st.watch != nil && (st.watch.whole || !whole) {
		return
	}
	st.watch.close()
	st.view = election.View{} // a view of the term alone says nothing of the rest
	st.watch = st.l.openWatch(st, whole)
}

// watchPath watches PATH as long as a candidate needs that.
func (st *electionState) watchPath() {
	needed := false
	for _, n := range st.nodes {
		needed = needed || n.candidate.NeedsPath(&st.view)
	}
	switch {
	case needed && st.pathWatch == nil:
		st.pathWatch = st.l.openPathWatch(st)
	case !needed:
		st.pathWatch.close()
		st.pathWatch = nil
	}
}

// saw takes what was read of the whole election.
func (st *electionState) saw(s *etcd.Snapshot) {
	st.complaint = nil
	st.view.Reset(st.path, s.Revision, s.Changes)
	st.changed()
}

// changed announces what the view shows, and tells the candidates.
func (st *electionState) changed() {
	st.announce(st.view.Term, st.view.Revision)
	for _, n := range slices.Clone(st.nodes) {
		n.step(election.Input{What: election.Seen})
	}
	st.watchPath()
}

// announce tells everybody who listens that the term was so at a revision, unless they know already.
func (st *electionState) announce(term election.Key, revision int64) {
	if revision <= st.told {
		return
	}
	first := st.told == 0
	st.told = revision
	was, is := st.leader.Load(), leaderOf(st.path, term)
	if !first && is == *was {
		return
	}
	st.leader.Store(&is)
	if first || is.Token != was.Token || is.ID != was.ID || is.Value != was.Value { // otherwise it is on another lease
		st.tell(st.leads(), everybody)
	}
}

// leads is the event that says who leads.
func (st *electionState) leads() Event {
	if st.leader.Load().Token == 0 {
		return Event{Kind: EventVacant, Path: st.path, Revision: st.told}
	}
	return st.about(EventChange)
}

// about is an event about the elected node.
func (st *electionState) about(kind Kind) Event {
	l := st.leader.Load()
	return Event{Kind: kind, Path: st.path, ID: l.ID, Value: l.Value, Token: l.Token, Revision: l.Revision}
}

func leaderOf(path string, term election.Key) Leader {
	if !term.Exists() {
		return Leader{}
	}
	id, value, ok := election.Split(term.Data)
	if !ok { // written by hand
		id, value = "", term.Data
	}
	return Leader{Path: path, ID: id, Value: value, Token: term.Create, Revision: term.Mod}
}

// tell hands an event to those who listen.
func (st *electionState) tell(e Event, whom func(*subscription) bool) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	for _, s := range st.subs {
		if whom(s) {
			s.push(e)
		}
	}
}

func everybody(*subscription) bool { return true }

// subscribe begins to listen to a path, and to a node of it if one is named.
func (l *Locker) subscribe(ctx context.Context, path string, n *Node) <-chan Event {
	s := newSubscription(l, ctx, n)
	l.post(func() { l.listen(s, path) })
	if l.ctx.Err() != nil { // nobody would end it
		<-l.closed
		s.end()
	}
	return s.out
}

func (l *Locker) listen(s *subscription, path string) {
	if l.closing {
		s.end()
		return
	}
	st := l.state(path)
	st.subs = append(st.subs, s)
	if s.node != nil {
		s.node.state.Store(st)
	}
	st.follow()
	if st.told != 0 {
		e := st.leads()
		e.At = time.Now()
		s.push(e)
	}
	if st.complaint != nil {
		s.push(Event{Kind: EventError, Path: path, Cause: st.complaint, At: time.Now()})
	}
	if n := s.node; n != nil && n.running {
		if n.complaint != "" {
			s.push(Event{Kind: EventError, Path: path, Cause: n.failure, At: time.Now()})
		}
		if key, leads := n.candidate.Leading(); leads {
			s.push(Event{Kind: EventSelect, Path: path, ID: n.id, Value: n.LocalValue(), Token: key.Create, Revision: key.Mod, At: time.Now()})
		}
	}
	s.begin(st)
}

// entered tells a node of another candidate that has its id, when that enters or is elected.
func (st *electionState) entered(c election.Change, revision int64) {
	if c.Deletion || c.Key.Create != revision {
		return
	}
	_, part, nonce := election.ParseKey(c.Name)
	if part != election.PartTerm && part != election.PartQueue {
		return
	}
	for _, n := range st.nodes {
		if idOf(c.Key) == n.id && !n.candidate.Made(nonce) {
			n.emit(Event{Kind: EventError, Revision: revision, Cause: fmt.Errorf(
				"locked: another candidate has the ID %s at %s, with the nonce %s and the value %s: nobody can tell the two apart; give each its own",
				n.id, n.path, nonce, abbreviate(leaderOf(st.path, c.Key).Value))})
		}
	}
}

// unlisten ends all subscriptions, and what nodes know of leaders with them.
func (l *Locker) unlisten() {
	for _, st := range l.states {
		for _, s := range st.subs {
			s.end()
		}
		st.leader.Store(&Leader{}) // nobody follows it any more
	}
}
