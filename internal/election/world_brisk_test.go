package election

import "slices"

// In a brisk world processes do at once what waits for nobody else: they begin to get a lease, look at their clock, and try
// again after a pause. Only a fault holds that up. And watches may be late by so many revisions and no more.

// bustle does what has to be done at once.
func (w *world) bustle() {
	for again := w.brisk; again; {
		again = false
		for _, p := range w.procs {
			again = p.hurry() || again
		}
	}
}

func (p *proc) hurry() bool {
	switch {
	case p.believing && !p.leads():
		return p.promptly(p.expired)
	case p.hold.Current == 0 && p.granting.stage == 0:
		return p.promptly(p.grant)
	case p.sleeping:
		return p.promptly(p.wake)
	case p.w.lag == 0:
		return false
	case p.behind(p.watched, false) > max(p.w.lag, 0):
		return p.watch() && p.told()
	case p.pathOpen && p.behind(p.pathSeen, true) > max(p.w.lag, 0):
		return p.watchPath() && p.told()
	}
	return false
}

// atOnce is how late a watch may be that is never late.
const atOnce = -1

// promptly does something, if the process is not held up.
func (p *proc) promptly(do func() bool) bool {
	p.held = p.held || p.w.slow()
	return !p.held && do()
}

// freely does something at any time. Then the process is held up no more.
func (p *proc) freely(do func() bool) bool {
	if !do() {
		return false
	}
	p.held = false
	return true
}

// behind counts the revisions that a watch has yet to deliver.
func (p *proc) behind(from int, onPath bool) (n int) {
	for _, c := range p.w.etcd.log[from:] {
		if slices.ContainsFunc(c.changes, func(change Change) bool { return (change.Name == path) == onPath }) {
			n++
		}
	}
	return n
}
