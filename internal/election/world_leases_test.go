package election

import (
	"slices"
	"time"
)

// lifetime is what etcd knows of a lease. Only renewals in the raft term of the grant count: an etcd leader that resumes may
// revoke what it has not seen renewed.
type lifetime struct {
	id    int64
	raft  uint64
	until time.Duration // when etcd may end it, at the earliest
}

func (w *world) life(id int64) *lifetime {
	for i := range w.lives {
		if w.lives[i].id == id {
			return &w.lives[i]
		}
	}
	return nil
}

func (w *world) newLease() int64 {
	w.count++
	id := int64(w.count)
	w.etcd.grant(id)
	w.lives = append(w.lives, lifetime{id, w.raft, w.now + ttl})
	return id
}

// end lets etcd end a lease.
func (w *world) end(id int64) {
	w.logf("etcd: lease %d ends", id)
	before := w.etcd.keys
	w.etcd.revoke(id)
	w.lives = slices.DeleteFunc(w.lives, func(l lifetime) bool { return l.id == id })
	w.judge(before, nil)
}

// granting is a request for a lease on its way.
type granting struct {
	stage  int
	sent   time.Duration
	before uint64 // raft term that stood before it was sent
	id     int64
	back   int // how often etcd had gone back when it granted
}

// grant moves the request for a new lease on, or begins one if there is a need.
func (p *proc) grant() bool {
	if p.granting.stage == 0 && p.w.now < p.barred {
		return false
	}
	if p.granting.stage == 0 {
		if l := p.hold.Lease(p.hold.Current); l != nil && l.Alive(p.w.now+ttl/4) && l.RaftTerm == p.raft {
			if !p.w.may(fresh) || !p.w.luck.chance(4) {
				return false
			}
			p.w.spend(fresh)
		}
	}
	for more := true; more; more = p.granting.stage > 0 && !p.w.slow() {
		p.grantStep()
	}
	return true
}

func (p *proc) grantStep() {
	w, g := p.w, &p.granting
	g.stage++
	switch g.stage {
	case 1:
		if p.learn() {
			return
		}
		p.hear(w.etcd.rev)
		if l := p.hold.Lease(p.hold.Current); l != nil && !l.Alive(w.now) {
			p.hold.Current = 0
		}
		g.sent, g.before = w.now, p.raft
	case 2:
		g.id, g.back = w.newLease(), w.backs
	case 3:
		done := *g
		*g = granting{}
		p.takeUp(done)
	}
}

func (p *proc) takeUp(g granting) {
	if g.back == p.w.backs && p.learn() {
		return
	}
	p.raft = p.w.raft
	l, ok := Granted(g.id, ttl, g.sent, g.before, p.w.raft)
	p.w.logf("%s lease %d granted: %v, until %d", p.id, g.id, ok, l.Deadline)
	if !ok || !l.Alive(p.w.now) {
		return
	}
	p.leases = append(p.leases, l.ID)
	p.hold.Leases = append(p.hold.Leases, &l)
	p.hold.Current = l.ID
	p.step(Input{What: Seen})
}

// renewing is a renewal on its way: to etcd, back, then the read that proves it, and back.
type renewing struct {
	lease    int64
	stage    int
	gone     bool
	acked    uint64
	verified uint64
	back     int // how often etcd had gone back when it was proven
}

// renew moves one renewal on, or begins one.
func (p *proc) renew() bool {
	if len(p.hold.Leases) == 0 {
		return false
	}
	l := p.hold.Leases[0]
	if !p.w.partial && len(p.hold.Leases) > 1 {
		l = p.hold.Leases[p.w.luck.pick(len(p.hold.Leases))]
	}
	i := slices.IndexFunc(p.renewals, func(r renewing) bool { return r.lease == l.ID })
	if i < 0 {
		if !p.useful(l) {
			return false
		}
		held := p.w.slow()
		if !held && p.w.etcd.granted(l.ID) && l.Deadline == p.w.now+ttl-Margin(ttl) {
			return false
		}
		l.Sent(p.w.now)
		p.renewals = append(p.renewals, renewing{lease: l.ID})
		if i = len(p.renewals) - 1; held {
			if p.w.luck.chance(2) { // not the request, but its answer
				p.renewStep(&p.renewals[i])
				p.renewStep(&p.renewals[i])
			}
			return true
		}
	}
	p.renewOn(i)
	return true
}

// useful reports whether there is anything to be had from renewing a lease, or to be learned.
func (p *proc) useful(l *Lease) bool {
	switch {
	case !p.w.etcd.granted(l.ID):
		return true
	case l.RaftTerm == p.w.raft:
		return l.Deadline <= p.w.now+ttl-Margin(ttl)
	}
	return l.ID == p.hold.Current
}

// renewOn lets a renewal go on until it is held up, or over.
func (p *proc) renewOn(i int) {
	done := p.renewStep(&p.renewals[i])
	for !done && !p.w.slow() {
		done = p.renewStep(&p.renewals[i])
	}
	if done && i < len(p.renewals) { // none is left if it has told that etcd has gone back
		p.renewals = slices.Delete(p.renewals, i, i+1)
	}
}

// renewStep is one step of a renewal. It is over when its result has been taken, or nobody waits for it any more.
func (p *proc) renewStep(r *renewing) (over bool) {
	w := p.w
	r.stage++
	switch r.stage {
	case 1:
		r.acked = w.raft // etcd writes the header before it renews
		if w.raft > 1 && w.luck.chance(2) {
			r.acked--
		}
	case 2:
		r.gone = w.renewed(r)
	case 3:
		if r.gone {
			p.lost(r.lease)
			return true
		}
		if l := p.hold.Lease(r.lease); l != nil {
			l.Acked(ttl, r.acked)
		}
	case 4:
		r.verified, r.back = w.raft, w.backs
		if !p.stale {
			p.hear(w.etcd.rev)
		}
	case 5:
		p.verified(r)
		return true
	}
	if w.may(lose) && w.luck.chance(8) {
		w.spend(lose)
		return true
	}
	return false
}

// verified takes the proof of a renewal. A belief that has run out by now ends before anything moves.
func (p *proc) verified(r *renewing) {
	if r.back == p.w.backs && p.learn() {
		return
	}
	p.expired()
	l := p.hold.Lease(r.lease)
	if l == nil {
		return
	}
	p.raft = r.verified
	switch {
	case !l.Verified(p.w.now, r.verified):
		if p.hold.Current == l.ID {
			p.hold.Current = 0
		}
	case p.cand.Place() == Elected && !p.believing: // elected when the lease had too little time left to begin
		p.told()
	}
}

// renewed is what etcd does about a renewal. A leader that was cut off answers too, but it does not count.
func (w *world) renewed(r *renewing) (gone bool) {
	life := w.life(r.lease)
	if life == nil {
		return true
	}
	if life.raft == w.raft && r.acked == w.raft {
		life.until = max(life.until, w.now+ttl)
	}
	return false
}

// lost forgets a lease that etcd does not know.
func (p *proc) lost(id int64) {
	if p.hold.Lease(id) == nil {
		return
	}
	p.hold.Leases = slices.DeleteFunc(p.hold.Leases, func(l *Lease) bool { return l.ID == id })
	if p.hold.Current == id {
		p.hold.Current = 0
	}
	p.step(Input{What: Seen})
}

// expire lets etcd end one of the leases that it may end.
func (w *world) expire() bool {
	for _, l := range w.lives {
		if l.until <= w.now && w.luck.chance(2) {
			w.end(l.id)
			return true
		}
	}
	return false
}

func (w *world) tick() bool {
	by := w.leap
	if by == 0 {
		by = time.Duration(1 + w.luck.pick(int(ttl/3)))
	}
	w.now += by
	w.logf("time passes")
	return true
}

// elect gives etcd another leader. Every lease lives longer for that, if it does not fall to the last one.
func (w *world) elect() bool {
	w.raft++
	w.logf("etcd: raft term %d", w.raft)
	return true
}
