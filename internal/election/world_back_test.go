package election

import "slices"

// An etcd that goes back is one that was restored to what was backed up, or replaced by an empty one. A process whose knowledge
// is newer than that finds it out from the first answer to a transaction, a grant or a proof. (It would not, once etcd has come as far again as that process had heard: this is left out here, since all ask
// several times in each TTL.) From then on it begins anew; and it gets no lease for a TTL, in which all others find out too, or
// stop believing. A process that did not know of anything later, as one that has just started, enters at once: it may be elected
// while somebody still believes who cannot know yet.

// backup is etcd as it was, and what the laws remember of it.
type backup struct {
	etcd   store
	lives  []lifetime
	mirror string
}

func (w *world) backUp() bool {
	w.saved = &backup{w.etcd.clone(nil), slices.Clone(w.lives), w.mirror}
	w.logf("etcd is backed up at %d", w.etcd.rev)
	return true
}

// goBack gives every lease that is left its whole time anew, as a new leader of etcd does.
func (w *world) goBack() bool {
	to := backup{etcd: newStore()}
	if w.saved != nil {
		to = *w.saved
	}
	if to.etcd.rev == w.etcd.rev {
		return false
	}
	w.logf("etcd goes back from %d to %d", w.etcd.rev, to.etcd.rev)
	w.gone = append(slices.Clip(w.gone), w.etcd)
	w.etcd, w.mirror = to.etcd.clone(nil), to.mirror
	w.backs++
	w.top, w.selected = min(w.top, w.etcd.rev), min(w.selected, w.etcd.rev)
	w.wish = nil
	w.lives = slices.Clone(to.lives)
	for i := range w.lives {
		w.lives[i].until = w.now + ttl
	}
	for _, p := range w.procs {
		p.stale = p.stale || p.hears() > w.etcd.rev
		p.unaware = p.unaware || !p.stale
		p.watched, p.pathSeen = min(p.watched, len(w.etcd.log)), min(p.pathSeen, len(w.etcd.log))
	}
	return true
}

// backs is how often etcd has gone back, as far as the process knows.
func (p *proc) backs() int {
	if p.stale {
		return -1
	}
	return p.w.backs
}

// hear notes a revision that etcd was at.
func (p *proc) hear(revision int64) { p.known = max(p.known, revision) }

// hears is the latest revision that the process has heard of, or will when what is on its way to it arrives.
func (p *proc) hears() int64 {
	known := p.known
	if p.flight != nil && p.flight.applied {
		known = max(known, p.flight.res.rev)
	}
	for _, s := range p.reads {
		known = max(known, s.rev)
	}
	return known
}

// tells reports whether the answer to a transaction shows that etcd has gone back.
func (p *proc) tells(f *flight) bool {
	return p.stale && f.applied && f.back == p.w.backs
}

// learn lets a process find out that etcd has gone back.
func (p *proc) learn() bool {
	if !p.stale {
		return false
	}
	w := p.w
	w.logf("%s finds out that etcd has gone back", p.id)
	if f := p.flight; f != nil && !f.applied {
		w.late = append(w.late, f)
	}
	p.flight, p.hold, p.granting, p.renewals, p.listing, p.tidying = nil, Holding{}, granting{}, nil, nil, nil
	p.view, p.reads, p.pathOpen, p.denied, p.raft = View{}, nil, false, 0, w.raft
	p.known, p.barred = w.etcd.rev, w.now+ttl
	p.step(Input{What: WentBack})
	p.stale, p.unaware, p.lapsed = false, false, 0
	p.reopen()
	return true
}
