package election

import (
	"fmt"
	"slices"
	"strconv"
)

// move is something that may happen. It reports whether it could.
type move struct {
	name   string
	weight int
	on     func(m *mix) bool
	do     func(w *world, p *proc) bool
}

func always(*mix) bool { return true }

// moves are all that may happen, and how often.
var moves = []move{
	{"watch", 16, func(m *mix) bool { return !m.deaf }, func(_ *world, p *proc) bool { return p.seenMore() }},
	{"path watch", 8, always, func(_ *world, p *proc) bool { return p.watchPath() && p.told() }},
	{"open path", 4, always, func(_ *world, p *proc) bool { return p.openPath() }},
	{"read", 4, always, func(_ *world, p *proc) bool { return p.read() }},
	{"apply", 16, always, func(w *world, p *proc) bool { return w.arrive(p.flight) }},
	{"answer", 16, always, func(_ *world, p *proc) bool { return p.reply() }},
	{"wake", 6, always, func(_ *world, p *proc) bool { return p.wake() }},
	{"rest", 4, always, func(_ *world, p *proc) bool { return p.rest() }},
	{"expired", 6, always, func(_ *world, p *proc) bool { return p.expired() }},
	{"enter", 4, always, func(_ *world, p *proc) bool { return p.enter() }},
	{"grant", 5, always, func(_ *world, p *proc) bool { return p.grant() }},
	{"renew", 10, always, func(_ *world, p *proc) bool { return p.renew() }},
	{"tick", 5, func(m *mix) bool { return m.time }, func(w *world, _ *proc) bool { return w.tick() }},
	{"expire", 6, func(m *mix) bool { return m.time }, func(w *world, _ *proc) bool { return w.expire() }},
	{"leave", 3, func(m *mix) bool { return m.stop }, func(_ *world, p *proc) bool { return p.leave() }},
	{"set", 2, func(m *mix) bool { return m.set }, func(_ *world, p *proc) bool { return p.set() }},
	{"guard", 1, func(m *mix) bool { return m.work }, func(_ *world, p *proc) bool { return p.guard() }},
	{"overdue", 2, func(m *mix) bool { return m.work }, func(_ *world, p *proc) bool { return p.outwork() }},
	{"lose", 4, func(m *mix) bool { return m.lose }, func(_ *world, p *proc) bool { return p.lose() }},
	{"deny", 2, func(m *mix) bool { return m.deny }, func(_ *world, p *proc) bool { return p.deny() }},
	{"late", 4, func(m *mix) bool { return m.late }, func(w *world, _ *proc) bool { return w.lateOne() }},
	{"raft", 1, func(m *mix) bool { return m.raft }, func(w *world, _ *proc) bool { return w.elect() }},
	{"crash", 1, func(m *mix) bool { return m.crash }, func(w *world, p *proc) bool { return w.crash(p) }},
	{"transfer", 3, func(m *mix) bool { return m.transfer }, func(w *world, _ *proc) bool { return w.transfer() }},
	{"hand", 1, func(m *mix) bool { return m.hand }, func(w *world, _ *proc) bool { return w.hand() }},
	{"foreign", 1, func(m *mix) bool { return m.foreign }, func(w *world, _ *proc) bool { return w.stranger() }},
	{"resync", 1, func(m *mix) bool { return m.resync }, func(_ *world, p *proc) bool { return p.reopen() }},
	{"list", 2, func(m *mix) bool { return m.sweep }, func(_ *world, p *proc) bool { return p.list() }},
	{"tidy", 4, func(m *mix) bool { return m.sweep }, func(_ *world, p *proc) bool { return p.tidy() }},
}

// told tells the candidate that its view has moved.
func (p *proc) told() bool {
	p.step(Input{What: Seen})
	return true
}

// seenMore delivers one revision or some, and tells the candidate once.
func (p *proc) seenMore() bool {
	if !p.watch() {
		return false
	}
	for p.w.pick(3) == 0 && p.watch() {
	}
	return p.told()
}

// reopen begins the watch anew, as after a compaction: what lies between is only seen as its result.
func (p *proc) reopen() bool {
	p.watched = len(p.w.etcd.log)
	if p.view.Opened(p.w.etcd.rev) {
		p.reads = append(p.reads, p.w.snapshot())
	}
	return true
}

func (w *world) arrive(f *flight) bool {
	if f == nil || f.applied {
		return false
	}
	w.apply(f)
	return true
}

func (p *proc) reply() bool {
	if p.flight == nil || !p.flight.applied {
		return false
	}
	p.answer()
	return true
}

// lose gives up waiting for an answer. The transaction may commit later, if it has not yet.
func (p *proc) lose() bool {
	f := p.flight
	if f == nil {
		return false
	}
	p.flight = nil
	if !f.applied {
		p.w.late = append(p.w.late, f)
	}
	p.step(Input{What: Answer, Reply: Reply{Seq: f.seq, Result: Unknown}})
	return true
}

// deny refuses a transaction. With etcd out of space it may be done even so.
func (p *proc) deny() bool {
	f := p.flight
	if f == nil || f.applied && p.w.pick(4) > 0 {
		return false
	}
	p.flight = nil
	if f.kind == HandOver {
		p.denied = p.cand.Key().Create
	}
	doubt := f.applied
	if !f.applied && p.w.mix.late && p.w.pick(4) == 0 {
		p.w.late = append(p.w.late, f)
		doubt = true
	}
	p.step(Input{What: Answer, Reply: Reply{Seq: f.seq, Result: Denied, Doubt: doubt}})
	return true
}

// lateOne lets a transaction arrive that nobody waits for any more. Its answer may even reach the one who asked.
func (w *world) lateOne() bool {
	if len(w.late) == 0 {
		return false
	}
	i := w.pick(len(w.late))
	f := w.late[i]
	w.late = append(w.late[:i:i], w.late[i+1:]...)
	w.apply(f)
	if f.from.alive && f.err == nil && !f.sweep && w.pick(4) == 0 {
		f.from.step(Input{What: Answer, Reply: Reply{Seq: f.seq, Revision: f.res.rev}})
	}
	return true
}

func (p *proc) wake() bool {
	if !p.sleeping {
		return false
	}
	p.sleeping = false
	p.step(Input{What: Woke})
	return true
}

func (p *proc) rest() bool {
	if !p.working || p.believing {
		return false
	}
	p.working, p.overdue = false, false
	p.step(Input{What: Rested})
	return true
}

// outwork stops waiting for the work to end.
func (p *proc) outwork() bool {
	if !p.working || p.believing || p.overdue {
		return false
	}
	p.overdue = true
	p.step(Input{What: Overdue})
	return true
}

func (p *proc) expired() bool {
	if !p.believing || p.leads() {
		return false
	}
	p.step(Input{What: Expired})
	return true
}

func (p *proc) enter() bool {
	if p.wants || !p.cand.Gone() && !p.w.mix.early {
		return false
	}
	p.wants = true
	p.step(Input{What: Enter, Data: p.data})
	return true
}

func (p *proc) leave() bool {
	if !p.wants {
		return false
	}
	p.wants = false
	p.step(Input{What: Leave, Cause: []Cause{Stopped, Unhealthy}[p.w.pick(2)]})
	return true
}

func (p *proc) set() bool {
	if !p.wants {
		return false
	}
	p.values = (p.values + 1) % 3
	p.data = Join(p.id, strconv.Itoa(p.values))
	p.step(Input{What: Set, Data: p.data})
	return true
}

func (p *proc) guard() bool {
	p.guarded = !p.guarded
	p.cand.Guard(p.guarded)
	return true
}

// crash ends a process. Its leases end in their own time, and another process takes its place.
func (w *world) crash(p *proc) bool {
	w.logf("%s crashes", p.id)
	p.alive = false
	if p.flight != nil && !p.flight.applied {
		w.late = append(w.late, p.flight)
	}
	for i, other := range w.procs {
		if other == p {
			w.procs[i] = w.newProc(p.id)
		}
	}
	return true
}

// list reads the election for a sweep.
func (p *proc) list() bool {
	if len(p.leases) == 0 || p.listing != nil || len(p.tidying) > 0 {
		return false
	}
	s := p.w.snapshot()
	p.listing, p.listed = &s, p.leases[p.w.pick(len(p.leases))]
	if key := p.w.etcd.get(path); slices.Contains(p.leases, key.Lease) {
		p.listed = key.Lease
	}
	return true
}

// tidy does what a sweep asks for: first it is asked, then its transactions are sent one by one.
func (p *proc) tidy() bool {
	if s := p.listing; s != nil {
		p.listing = nil
		var v View
		v.Reset(path, s.rev, s.changes)
		for _, txn := range Sweep(path, &v, p.listed, p.cand.Owns, p.cand.Busy(), p.w.mix.deny && p.w.pick(4) == 0) {
			p.tidying = append(p.tidying, &flight{from: p, txn: txn, sweep: true})
		}
		return true
	}
	if len(p.tidying) == 0 {
		return false
	}
	f := p.tidying[0]
	p.tidying = p.tidying[1:]
	if p.w.mix.late && p.w.pick(4) == 0 {
		p.w.late = append(p.w.late, f)
		return true
	}
	p.w.apply(f)
	return true
}

func describe(in Input) string {
	names := [...]string{"enter", "leave", "set", "seen", "answer", "expired", "rested", "overdue", "woke"}
	switch in.What {
	case Enter, Set:
		return names[in.What] + " " + in.Data
	case Answer:
		results := [...]string{"committed", "refused", "denied", "unknown"}
		return fmt.Sprintf("answer %d: %s at %d", in.Reply.Seq, results[in.Reply.Result], in.Reply.Revision)
	}
	return fmt.Sprintf("%s, view %d/%d", names[in.What], in.View.Revision, in.View.PathRevision)
}
