package locked

import (
	"time"

	"github.com/samcday/locked/internal/election"
)

// believers are the nodes that believe to be elected, or whose work winds down on borrowed time. They are looked at when
// the first of them runs out, and several times a second besides: timers stand still while the machine is suspended, the
// clock does not.
type believers struct {
	nodes map[*Node]struct{}
	timer *time.Timer
}

// suspendCheck is how soon after a resume a belief that has run out meanwhile is noticed.
const suspendCheck = 200 * time.Millisecond

func (b *believers) add(n *Node) {
	if b.nodes == nil {
		b.nodes = map[*Node]struct{}{}
	}
	b.nodes[n] = struct{}{}
	b.timer.Reset(0)
}

func (b *believers) remove(n *Node) { delete(b.nodes, n) }

// expire ends what has run out, and looks again when the next one may.
func (l *Locker) expire() {
	now := l.clock.Now()
	next := suspendCheck
	for n := range l.believers.nodes {
		if b := n.belief.Load(); b.holds(now) {
			next = min(next, b.remaining(now))
		} else if _, believes := n.candidate.Leading(); believes {
			n.step(election.Input{What: election.Expired})
		} else if n.frozen != 0 && now >= n.frozen {
			n.overdue()
		}
	}
	if len(l.believers.nodes) > 0 {
		l.believers.timer.Reset(next)
	}
}
