package locked

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// contest is one election as this Locker knows it, as long as a node of it runs or somebody listens. It belongs to the
// loop, but for leader.
type contest struct {
	l      *Locker
	path   string
	leader atomic.Pointer[Leader]

	view election.View
	told int64 // revision up to which everything was announced; 0 while nothing was

	nodes    []*Node // that run
	subs     []*subscription
	feed     *feed // of all keys but PATH, or of the term alone while no node runs
	pathFeed *feed // while a candidate needs it
}

// contest gives the one for a path, which must be put to use or released.
func (l *Locker) contest(path string) *contest {
	c := l.contests[path]
	if c == nil {
		c = &contest{l: l, path: path}
		c.leader.Store(&Leader{})
		l.contests[path] = c
	}
	return c
}

// runs reports whether a node with that path and id runs.
func (l *Locker) runs(path, id string) bool {
	if c := l.contests[path]; c != nil {
		for _, n := range c.nodes {
			if n.id == id {
				return true
			}
		}
	}
	return false
}

// release ends the contest if nobody has a use for it.
func (c *contest) release() {
	if len(c.nodes) > 0 || len(c.subs) > 0 {
		return
	}
	c.feed.close()
	c.pathFeed.close()
	c.leader.Store(&Leader{})
	delete(c.l.contests, c.path)
}

// follow makes sure that the contest is watched: nodes need all of it, others the term.
func (c *contest) follow() {
	whole := len(c.nodes) > 0
	if c.feed != nil && (c.feed.whole || !whole) {
		return
	}
	c.feed.close()
	c.view = election.View{} // a view of the term alone says nothing of the rest
	c.feed = c.l.openFeed(c, whole)
}

// watchPath watches PATH as long as a candidate needs that.
func (c *contest) watchPath() {
	needed := false
	for _, n := range c.nodes {
		needed = needed || n.candidate.NeedsPath(&c.view)
	}
	switch {
	case needed && c.pathFeed == nil:
		c.pathFeed = c.l.openPathFeed(c)
	case !needed:
		c.pathFeed.close()
		c.pathFeed = nil
	}
}

// saw takes what was read of the whole election.
func (c *contest) saw(s *etcd.Snapshot) {
	c.view.Reset(c.path, s.Revision, s.Changes)
	c.changed()
}

// changed announces what the view shows, and tells the candidates.
func (c *contest) changed() {
	c.announce(c.view.Term, c.view.Revision)
	for _, n := range slices.Clone(c.nodes) {
		n.step(election.Input{What: election.Seen})
	}
	c.watchPath()
}

// announce tells everybody who listens that the term was so at a revision, unless they know already.
func (c *contest) announce(term election.Key, revision int64) {
	if revision <= c.told {
		return
	}
	first := c.told == 0
	c.told = revision
	was, is := c.leader.Load(), leaderOf(c.path, term)
	if !first && is == *was {
		return
	}
	c.leader.Store(&is)
	if first || is.Token != was.Token || is.ID != was.ID || is.Value != was.Value { // otherwise it is on another lease
		c.tell(c.state(), everybody)
	}
}

// state is the event that says who leads.
func (c *contest) state() Event {
	if c.leader.Load().Token == 0 {
		return Event{Kind: EventVacant, Path: c.path, Revision: c.told}
	}
	return c.about(EventChange)
}

// about is an event about the elected node.
func (c *contest) about(kind Kind) Event {
	l := c.leader.Load()
	return Event{Kind: kind, Path: c.path, ID: l.ID, Value: l.Value, Token: l.Token, Revision: l.Revision}
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
func (c *contest) tell(e Event, whom func(*subscription) bool) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	for _, s := range c.subs {
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
	c := l.contest(path)
	c.subs = append(c.subs, s)
	if s.node != nil {
		s.node.contest.Store(c)
	}
	c.follow()
	if c.told != 0 {
		e := c.state()
		e.At = time.Now()
		s.push(e)
	}
	if n := s.node; n != nil && n.running {
		if key, leads := n.candidate.Leading(); leads {
			s.push(Event{Kind: EventSelect, Path: path, ID: n.id, Value: n.LocalValue(), Token: key.Create, Revision: key.Mod, At: time.Now()})
		}
	}
	s.begin(c)
}

// unlisten ends all subscriptions, and what nodes know of leaders with them.
func (l *Locker) unlisten() {
	for _, c := range l.contests {
		for _, s := range c.subs {
			s.end()
		}
		c.leader.Store(&Leader{}) // nobody follows it any more
	}
}
