package election

import "slices"

// clone makes another world that goes on from where this one is. It takes the room of an old one that nobody needs any
// more. What never changes once it is there is shared: transactions, what was read, the values of keys.
func (w *world) clone(into *world) *world {
	procs, lives, late := into.procs, into.lives, into.late
	leases := into.etcd.leases
	*into = *w
	into.etcd = w.etcd.clone(leases)
	into.lives = append(lives[:0], w.lives...)
	into.late = append(late[:0], w.late...)
	into.byHand, into.requests, into.trace = slices.Clip(w.byHand), slices.Clip(w.requests), slices.Clip(w.trace)
	for len(procs) < len(w.procs) {
		procs = append(procs, &proc{cand: &Candidate{}})
	}
	into.procs = procs[:len(w.procs)]
	for i, p := range w.procs {
		p.clone(into.procs[i], into)
	}
	return into
}

func (p *proc) clone(into *proc, w *world) {
	cand, queue, reads, renewals, held, room := into.cand, into.view.Queue, into.reads, into.renewals, into.hold.Leases, into.room
	*into = *p
	into.w = w
	into.cand = cand
	*cand = *p.cand
	cand.lost = slices.Clip(cand.lost)
	into.view.Queue = append(queue[:0], p.view.Queue...)
	into.view.early = slices.Clip(p.view.early)
	into.reads = append(reads[:0], p.reads...)
	into.renewals = append(renewals[:0], p.renewals...)
	into.leases, into.nonces, into.given = slices.Clip(p.leases), slices.Clip(p.nonces), slices.Clip(p.given)
	into.room = slices.Grow(room[:0], len(p.hold.Leases))
	into.hold.Leases = held[:0]
	for i, l := range p.hold.Leases {
		into.room = append(into.room, *l)
		into.hold.Leases = append(into.hold.Leases, &into.room[i])
	}
}
