package election

import "slices"

// heal ends all faults, lets everything arrive, and looks at where it came to rest: who wants to lead either does, and
// knows it, or waits; who does not has left nothing behind; and nobody needed long for it.
func (w *world) heal() {
	w.logf("healing")
	w.left, w.deaf, w.partial = budget{}, false, false
	w.asks = 0
	for _, p := range w.procs {
		p.learn()
		if w.luck.chance(2) {
			p.arrive()
		}
	}
	for len(w.late) > 0 {
		if w.luck.chance(2) {
			w.lateOne()
		} else {
			w.late = w.late[1:]
		}
	}
	if held := w.etcd.get(path); held.Exists() && held.Lease == 0 {
		w.stranger()
	}
	w.renewAll()
	w.rest()
	if w.aftershock() {
		w.rest()
	}
}

// rest lets everything settle, sweeps, and looks.
func (w *world) rest() {
	w.asks = 0
	w.settle()
	for round := 0; w.tidyAll(); round++ {
		if round > 5 {
			w.fail("law 11: there is no end of what has to be swept")
		}
		w.settle()
	}
	w.checkRest()
}

// aftershock is one thing done by hand when everything is quiet: it must be found out without any other help.
func (w *world) aftershock() bool {
	switch w.luck.pick(4) {
	case 1:
		return w.hand()
	case 2:
		if !w.stranger() {
			return false
		}
		if w.settle(); w.etcd.get(path).Lease == 0 {
			w.stranger()
		}
		return true
	case 3:
		for _, p := range w.procs {
			if p.leads() {
				return p.leave()
			}
		}
	}
	return false
}

// renewAll lets all leases end that may, and gives every process a new one. Some of the old ones are kept alive, as if
// others had a use for them.
func (w *world) renewAll() {
	for i := range w.lives {
		if !w.luck.chance(2) && w.etcdKnowsOwner(w.lives[i].id) {
			w.lives[i].until += 100 * ttl
		}
	}
	w.now += 3 * ttl
	for _, p := range w.procs {
		p.granting, p.renewals, p.listing, p.tidying, p.raft = granting{}, nil, nil, nil, w.raft
		p.expired()
		p.hold.Current = 0
		p.grant()
	}
	for _, l := range slices.Clone(w.lives) {
		if l.until <= w.now {
			w.end(l.id)
		}
	}
}

func (w *world) etcdKnowsOwner(lease int64) bool {
	return slices.ContainsFunc(w.procs, func(p *proc) bool { return slices.Contains(p.leases, lease) })
}

// settle lets everything happen that is bound to, until nothing does.
func (w *world) settle() {
	for busy := true; busy; {
		busy = false
		for _, p := range w.procs {
			busy = p.learn() || busy
			busy = p.arrive() || busy
			if w.luck.chance(2) {
				busy = p.seenMore() || busy
			}
			busy = p.reply() || busy
			busy = p.seenMore() || busy
			busy = p.openPath() || busy
			busy = p.read() || busy
			busy = p.watchPath() && p.told() || busy
			busy = p.rest() || busy
			busy = p.wake() || busy
			w.check()
			if w.asks > 12*len(w.procs) {
				w.fail("law 8: %d transactions, and still no rest", w.asks)
			}
		}
	}
}

// tidyAll sweeps every lease, and reports whether there was anything to do.
func (w *world) tidyAll() (found bool) {
	for _, p := range w.procs {
		for _, id := range p.leases {
			s := w.snapshot()
			p.listing, p.listed = &s, id
			for p.tidy() {
				found = found || len(p.tidying) > 0
			}
		}
	}
	return found
}

// checkRest looks at the state that everything came to.
func (w *world) checkRest() {
	var leaders, wanting int
	for _, p := range w.procs {
		if !p.wants {
			p.checkAway()
			continue
		}
		wanting++
		if p.leads() {
			leaders++
		}
		p.checkIn()
	}
	if wanting > 0 && leaders != 1 {
		w.fail("law 8: %d want to lead and %d do", wanting, leaders)
	}
	if keys := len(terms(w.etcd.keys)) + len(queue(w.etcd.keys)); keys != wanting {
		w.fail("law 11: %d want to lead, and there are %d keys: %v", wanting, keys, w.etcd.keys)
	}
	if wanting == 0 && len(w.etcd.keys) > 0 {
		w.fail("law 11: nobody is left, but %v is", w.etcd.keys)
	}
}

func (p *proc) checkAway() {
	if p.cand.Place() != Nowhere || !p.cand.Gone() || p.cand.Busy() {
		p.w.fail("law 11: %s has left and is still in place %d", p.seed, p.cand.Place())
	}
}

func (p *proc) checkIn() {
	key, keys := p.cand.Key(), queue(p.w.etcd.keys)
	if p.cand.Place() == Elected {
		keys = terms(p.w.etcd.keys)
		if _, intact := p.w.intact(); !p.leads() || !intact {
			p.w.fail("law 8: %s is elected and does not lead, or PATH does not say so", p.seed)
		}
	}
	switch {
	case !slices.Contains(keys, key):
		p.w.fail("law 8: %s thinks that it has the key %v", p.seed, key)
	case !p.cand.Settled() || key.Data != p.data:
		p.w.fail("law 8: %s has %s in etcd and not %s", p.seed, key.Data, p.data)
	case key.Lease != p.hold.Current:
		p.w.fail("law 8: %s has not moved to its lease", p.seed)
	}
}
