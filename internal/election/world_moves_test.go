package election

import (
	"fmt"
	"slices"
	"strconv"
)

// move is something that may happen.
type move struct {
	name   string
	weight int                          // how often it is tried at random
	fault  fault                        // what it costs
	bound  bool                         // it happens sooner or later, with nothing else going on
	world  bool                         // it is not about one process
	do     func(w *world, p *proc) bool // reports whether it could; if not, and without asking for luck, nothing has changed
}

// moves are all that may happen.
var moves = []move{
	{"watch", 16, free, true, false, func(w *world, p *proc) bool { return !w.deaf && p.seenMore() }},
	{"path watch", 8, free, true, false, func(_ *world, p *proc) bool { return p.watchPath() && p.told() }},
	{"open path", 4, free, true, false, func(_ *world, p *proc) bool { return p.openPath() }},
	{"read", 4, free, true, false, func(_ *world, p *proc) bool { return p.read() }},
	{"apply", 16, free, true, false, func(_ *world, p *proc) bool { return p.arrive() }},
	{"answer", 16, free, true, false, func(_ *world, p *proc) bool { return p.reply() }},
	{"wake", 6, free, true, false, func(_ *world, p *proc) bool { return p.freely(p.wake) }},
	{"rest", 4, free, true, false, func(_ *world, p *proc) bool { return p.rest() }},
	{"expired", 6, free, true, false, func(_ *world, p *proc) bool { return p.freely(p.expired) }},
	{"enter", 4, free, false, false, func(_ *world, p *proc) bool { return p.enter() }},
	{"grant", 5, free, true, false, func(_ *world, p *proc) bool { return p.freely(p.grant) }},
	{"renew", 10, free, false, false, func(_ *world, p *proc) bool { return p.renew() }},
	{"tick", 5, tick, false, true, func(w *world, _ *proc) bool { return w.tick() }},
	{"expire", 6, free, false, true, func(w *world, _ *proc) bool { return w.expire() }},
	{"leave", 3, stop, false, false, func(_ *world, p *proc) bool { return p.leave() }},
	{"set", 2, set, false, false, func(_ *world, p *proc) bool { return p.set() }},
	{"guard", 1, guard, false, false, func(_ *world, p *proc) bool { return p.guard() }},
	{"overdue", 2, work, false, false, func(_ *world, p *proc) bool { return p.outwork() }},
	{"lose", 4, lose, false, false, func(_ *world, p *proc) bool { return p.lose() }},
	{"deny", 2, deny, false, false, func(_ *world, p *proc) bool { return p.deny() }},
	{"late", 4, late, false, true, func(w *world, _ *proc) bool { return w.lateOne() }},
	{"raft", 1, raft, false, true, func(w *world, _ *proc) bool { return w.elect() }},
	{"crash", 1, crash, false, false, func(w *world, p *proc) bool { return w.crash(p) }},
	{"transfer", 3, transfer, false, true, func(w *world, _ *proc) bool { return w.transfer() }},
	{"hand", 1, hand, false, true, func(w *world, _ *proc) bool { return w.hand() }},
	{"foreign", 1, foreign, false, true, func(w *world, _ *proc) bool { return w.stranger() }},
	{"back up", 1, backUp, false, true, func(w *world, _ *proc) bool { return w.backUp() }},
	{"go back", 1, goBack, false, true, func(w *world, _ *proc) bool { return w.goBack() }},
	{"learn", 4, free, true, false, func(_ *world, p *proc) bool { return p.learn() }},
	{"resync", 1, resync, false, false, func(_ *world, p *proc) bool { return p.reopen() }},
	{"list", 2, sweep, false, false, func(_ *world, p *proc) bool { return p.list() }},
	{"tidy", 4, free, true, false, func(_ *world, p *proc) bool { return p.tidy() }},
}

// make lets a move happen if it can be paid for.
func (w *world) make(m move, p *proc) bool {
	if !w.may(m.fault) || !m.do(w, p) {
		return false
	}
	w.spend(m.fault)
	w.bustle()
	w.check()
	return true
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
	for p.w.luck.chance(3) && p.watch() {
	}
	return p.told()
}

// reopen begins the watch anew, as after a compaction: what lies between is only seen as its result.
func (p *proc) reopen() bool {
	if p.stale {
		return false
	}
	p.watched = len(p.w.etcd.log)
	p.w.tape.opened(p)
	if p.view.Opened(p.w.etcd.rev) {
		p.reads = append(p.reads, p.w.snapshot())
	}
	return true
}

// arrive lets the transaction under way reach etcd.
func (p *proc) arrive() bool {
	if p.flight == nil || p.flight.applied {
		return false
	}
	p.w.repeat(p.flight)
	p.flight = p.w.apply(p.flight)
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
	if f == nil || f.applied && !p.w.luck.chance(4) {
		return false
	}
	p.flight = nil
	if f.kind == HandOver {
		p.denied = p.cand.Key().Create
	}
	doubt := f.applied
	if !f.applied && p.w.may(late) && p.w.luck.chance(4) {
		p.w.late = append(p.w.late, f)
		doubt = true
	}
	p.step(Input{What: Answer, Reply: Reply{Seq: f.seq, Result: Denied, Doubt: doubt}})
	return true
}

// lateOne lets a transaction arrive that nobody waits for any more, or one for the second time. Its answer may even reach the
// one who asked.
func (w *world) lateOne() bool {
	if len(w.late) == 0 {
		return false
	}
	i := w.luck.pick(len(w.late))
	f := w.late[i]
	w.late = append(w.late[:i:i], w.late[i+1:]...)
	w.repeat(f)
	f = w.apply(f)
	p := w.procs[f.from]
	second := p.flight != nil && p.flight.seq == f.seq
	switch {
	case p.seed != f.seed || f.sweep || !second && f.err != nil || !w.luck.chance(4):
	case p.tells(f):
		p.learn()
	case second: // it comes before the first one, which then is not heard
		p.flight = f
	default:
		p.step(Input{What: Answer, Reply: Reply{Seq: f.seq, Revision: f.res.rev}})
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
	if p.wants || !p.cand.Gone() && !p.w.may(early) {
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
	p.step(Input{What: Leave, Cause: []Cause{Stopped, Unhealthy}[p.w.luck.pick(2)]})
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

// list reads the election for a sweep.
func (p *proc) list() bool {
	if len(p.leases) == 0 || p.listing != nil || len(p.tidying) > 0 {
		return false
	}
	s := p.w.snapshot()
	p.listing, p.listed = &s, p.leases[p.w.luck.pick(len(p.leases))]
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
		p.tidying = nil
		busy := p.cand.Busy() || p.cand.Unaware(&p.view, v.Path.Mod)
		for _, txn := range Sweep(path, &v, p.listed, p.cand.Owns, busy, p.w.may(deny) && p.w.luck.chance(4)) {
			p.tidying = append(p.tidying, &flight{from: p.slot(), seed: p.seed, txn: txn, sweep: true, sent: p.backs()})
		}
		return true
	}
	if len(p.tidying) == 0 {
		return false
	}
	f := p.tidying[0]
	p.tidying = p.tidying[1:]
	if p.w.may(late) && p.w.luck.chance(4) {
		p.w.late = append(p.w.late, f)
		return true
	}
	p.w.repeat(f)
	p.w.apply(f)
	return true
}

func describe(in Input) string {
	names := [...]string{"enter", "leave", "set", "seen", "answer", "expired", "rested", "overdue", "woke", "went back"}
	switch in.What {
	case Enter, Set:
		return names[in.What] + " " + in.Data
	case Answer:
		results := [...]string{"committed", "refused", "denied", "unknown"}
		return fmt.Sprintf("answer %d: %s at %d", in.Reply.Seq, results[in.Reply.Result], in.Reply.Revision)
	}
	return fmt.Sprintf("%s, view %d/%d", names[in.What], in.View.Revision, in.View.PathRevision)
}
