package locked

import (
	"time"

	"github.com/samcday/locked/internal/election"
)

// believers are the nodes that believe to be elected. Their belief is looked at when the first of them runs out, and
// several times a second besides: timers stand still while the machine is suspended, the clock does not.
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

// expire ends the beliefs that have run out, and looks again when the next one may.
func (l *Locker) expire() {
	now := l.clock.Now()
	next := suspendCheck
	for n := range l.believers.nodes {
		if b := n.belief.Load(); b.holds(now) {
			next = min(next, b.remaining(now))
		} else {
			n.step(election.Input{What: election.Expired})
		}
	}
	if len(l.believers.nodes) > 0 {
		l.believers.timer.Reset(next)
	}
}
