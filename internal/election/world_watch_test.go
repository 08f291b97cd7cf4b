package election

// watch delivers the next revision that changed a key below PATH.
func (p *proc) watch() bool {
	if p.stale {
		return false // it waits for a revision later than all that it knows
	}
	for log := p.w.etcd.log; p.watched < len(log); {
		c := log[p.watched]
		p.watched++
		p.hear(c.rev)
		if changes := about(c, func(name string) bool { return name != path }); len(changes) > 0 {
			p.w.logf("%s watch: revision %d", p.id, c.rev)
			p.view.Apply(path, c.rev, changes)
			p.w.tape.watched(p, "watch", c.rev, changes)
			return true
		}
	}
	return false
}

// watchPath delivers the next change of PATH.
func (p *proc) watchPath() bool {
	if p.stale {
		return false
	}
	for log := p.w.etcd.log; p.pathOpen && p.pathSeen < len(log); {
		c := log[p.pathSeen]
		p.pathSeen++
		p.hear(c.rev)
		if changes := about(c, func(name string) bool { return name == path }); len(changes) > 0 {
			p.w.logf("%s path watch: revision %d", p.id, c.rev)
			p.view.ApplyPath(c.rev, changes[0])
			p.w.tape.watched(p, "path", c.rev, changes)
			return true
		}
	}
	return false
}

func about(c commit, which func(name string) bool) (out []Change) {
	for _, change := range c.changes {
		if which(change.Name) {
			out = append(out, change)
		}
	}
	return out
}

// openPath begins to watch PATH, and reads.
func (p *proc) openPath() bool {
	if p.pathOpen || p.stale || !p.cand.NeedsPath(&p.view) {
		return false
	}
	p.pathOpen, p.pathSeen = true, len(p.w.etcd.log)
	p.reads = append(p.reads, p.w.snapshot())
	return true
}

// read delivers the oldest read.
func (p *proc) read() bool {
	if len(p.reads) == 0 {
		return false
	}
	s := p.reads[0]
	p.reads = p.reads[1:]
	p.w.logf("%s read at %d", p.id, s.rev)
	p.view.Reset(path, s.rev, s.changes)
	p.w.tape.read(p, s)
	p.step(Input{What: Seen})
	return true
}
