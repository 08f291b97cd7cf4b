package election

// proc packs one process.
func (k *packer) proc(p *proc) {
	k.candidate(p.cand)
	k.view(&p.view)
	k.watches(p)
	k.bools(
		p.pathOpen, p.sleeping, p.wants, p.guarded, p.working, p.overdue, p.flight != nil, p.listing != nil,
		p.believing, p.believing && p.lapsed == p.token, p.denied != 0 && p.denied == p.cand.key.Create, p.handled(), p.held,
		p.stale, p.unaware, p.flight != nil && p.flight.back == p.w.backs,
	)
	k.left(p.barred)
	if p.w.may(goBack) {
		k.rev(p.known)
	}
	k.data(p.data)
	k.number(len(p.reads))
	for _, s := range p.reads {
		k.snapshot(s)
	}
	if p.flight != nil {
		k.flight(p.flight)
	}
	if p.listing != nil {
		k.snapshot(*p.listing)
		k.lease(p.listed)
	}
	k.number(len(p.tidying))
	for _, f := range p.tidying {
		k.flight(f)
	}
	k.holding(p)
}

// handled reports whether the term key that the process believes in was deleted by hand.
func (p *proc) handled() bool {
	for _, token := range p.w.byHand {
		if p.believing && p.token == token {
			return true
		}
	}
	return false
}

func (k *packer) candidate(c *Candidate) {
	unsettled := c.unsettled()
	k.bools(c.guarded, c.want, c.believing, c.working, c.overdue, unsettled, c.doubt, c.pause, c.waiting, c.out)
	k.byte(byte(c.place))
	k.byte(byte(min(c.fails, patience+1)))
	k.rev(c.at)
	k.rev(c.pathMod)
	k.rev(c.spent)
	k.rev(c.foreign)
	k.nonce(c.nonce)
	k.nonce(c.next)
	k.key(c.key)
	if c.data != "" {
		k.data(c.data)
	}
	k.lease(c.gap)
	if c.believing {
		k.rev(c.token)
	}
	if unsettled {
		k.number(len(c.lost))
		for _, lease := range c.lost {
			k.lease(lease)
		}
	}
	k.byte(byte(c.asked))
	if c.asked != Idle {
		k.data(c.askedData)
		k.lease(c.askedLease)
		k.rev(c.askedMod)
	}
	if c.asked == HandOver {
		k.lease(c.heir)
	}
}

func (k *packer) view(v *View) {
	k.rev(v.Revision)
	k.rev(v.PathRevision)
	k.rev(v.TermRevision)
	if !v.Term.Exists() {
		k.rev(v.former)
	}
	k.key(v.Term)
	k.key(v.Transfer)
	k.key(v.Path)
	k.number(len(v.Queue))
	for _, key := range v.Queue {
		k.key(key)
	}
	if v.Revision >= v.opened {
		k.number(0)
		return
	}
	k.number(1 + len(v.early))
	k.rev(v.opened)
	for _, b := range v.early {
		k.rev(b.revision)
		k.changes(b.changes)
	}
}

// watches packs what the process has yet to be told by its watches.
func (k *packer) watches(p *proc) {
	log := p.w.etcd.log
	for _, c := range log[p.watched:] {
		k.pending(c, func(name string) bool { return name != path })
	}
	k.byte(0)
	if !p.pathOpen {
		return
	}
	for _, c := range log[p.pathSeen:] {
		k.pending(c, func(name string) bool { return name == path })
	}
	k.byte(0)
}

func (k *packer) pending(c commit, which func(string) bool) {
	first := true
	for _, change := range c.changes {
		if !which(change.Name) {
			continue
		}
		if first {
			k.byte(9)
			k.rev(c.rev)
			first = false
		}
		k.name(change.Name)
		if change.Deletion {
			k.byte(0)
		} else {
			k.key(change.Key)
		}
	}
}

func (k *packer) snapshot(s snapshot) {
	k.rev(s.rev)
	k.changes(s.changes)
}

// flight packs a transaction on its way, or its answer. What it does otherwise follows from what it does.
func (k *packer) flight(f *flight) {
	k.byte(byte(f.kind))
	k.seed(f.seed)
	heard := false
	if f.seed != "somebody" {
		p := k.w.procs[f.from]
		heard = p.seed == f.seed && p.cand.seq == f.seq && p.cand.asked != Idle
	}
	k.bools(f.sweep, f.gap, f.applied, heard, f.applied && f.res.ok, f.err != nil, f.sent == k.w.backs)
	if f.applied {
		k.rev(f.res.rev)
		k.changes(f.res.read)
		return
	}
	k.number(len(f.txn.If))
	for _, c := range f.txn.If {
		k.compare(c)
	}
	k.number(len(f.txn.Then))
	for _, op := range f.txn.Then {
		k.op(op)
	}
}

func (k *packer) compare(c Cmp) {
	k.name(c.Key)
	k.bools(c.Prefix)
	k.byte(byte(c.Field))
	k.byte(c.Op)
	switch c.Op { // less than the next is at most this one
	case '<':
		k.rev(c.Rev - 1)
	case '>':
		k.rev(c.Rev + 1)
	default:
		k.rev(c.Rev)
	}
}

func (k *packer) op(op Op) {
	k.byte(byte(op.Kind))
	if op.Kind == Get {
		return
	}
	k.name(op.Key)
	if op.Kind == Put {
		k.data(op.Value)
		k.lease(op.Lease)
	}
}

// holding packs the leases of a process, and what is under way for them.
func (k *packer) holding(p *proc) {
	k.raft(p.raft)
	k.lease(p.hold.Current)
	k.number(len(p.hold.Leases))
	for _, l := range p.hold.Leases {
		k.lease(l.ID)
		k.raft(l.RaftTerm)
		k.left(l.Deadline)
		for _, r := range p.renewals {
			if r.lease == l.ID {
				k.byte(byte(1 + r.stage))
				k.bools(r.gone, r.back == p.w.backs)
				k.raft(r.acked)
				k.raft(r.verified)
				k.raft(l.acked)
				k.left(l.sent + ttl)
			}
		}
		k.byte(0)
	}
	g := &p.granting
	k.byte(byte(g.stage))
	if g.stage > 0 {
		k.left(g.sent + ttl)
		k.raft(g.before)
		k.lease(g.id)
		k.bools(g.back == p.w.backs)
	}
}
