package locked

import (
	"time"

	"github.com/samcday/locked/internal/election"
)

// expiry has the nodes that believe to be elected, or whose work winds down on borrowed time. They are looked at when
// the first of them runs out, and several times a second besides: timers stand still while the machine is suspended, the
// clock does not.
type expiry struct {
	nodes map[*Node]struct{}
	timer *time.Timer
	due   time.Duration // reading of the clock at which the timer fires
}

// suspendCheck is how soon after a resume a belief that has run out meanwhile is noticed.
const suspendCheck = 200 * time.Millisecond

// watchOver looks after a node that believes, up to some reading of the clock, or whose work winds down until then.
func (l *Locker) watchOver(n *Node, until time.Duration) {
	if len(l.expiry.nodes) == 0 || until < l.expiry.due {
		l.wakeAt(l.clock.Now(), until)
	}
	l.expiry.nodes[n] = struct{}{}
}

// wakeAt looks again at a reading of the clock, or before.
func (l *Locker) wakeAt(now, until time.Duration) {
	l.expiry.due = min(until, now+suspendCheck)
	l.expiry.timer.Reset(l.expiry.due - now)
}

// expire ends what has run out, and looks again when the next one may.
func (l *Locker) expire() {
	now := l.clock.Now()
	next := now + suspendCheck
	for n := range l.expiry.nodes {
		next = min(next, n.expire(now))
	}
	if len(l.expiry.nodes) > 0 {
		l.wakeAt(now, next)
	}
}

// expire ends the belief of a node, or the wait for its work, if its time has run out, and gives the reading of the clock at
// which it is to be looked at again.
func (n *Node) expire(now time.Duration) (next time.Duration) {
	b := n.belief.Load()
	_, believes := n.candidate.Leading()
	switch {
	case b.holds(now):
		return now + b.remaining(now)
	case believes:
		n.step(election.Input{What: election.Expired})
	case n.frozen != 0 && now >= n.frozen:
		n.overdue()
	case n.frozen != 0:
		return n.frozen
	}
	return now + suspendCheck
}
