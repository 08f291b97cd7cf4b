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
	sent   time.Duration
	before uint64 // raft term that stood before it was sent
	after  uint64 // in the answer
	id     int64
}

// grant moves the request for a new lease on by one step, or begins one if there is a need.
func (p *proc) grant() bool {
	w, g := p.w, p.granting
	switch {
	case g == nil:
		l := p.hold.Lease(p.hold.Current)
		if l != nil && l.Alive(w.now+ttl/4) && l.RaftTerm == p.raft && !(w.mix.moves && w.pick(4) == 0) {
			return false
		}
		if l != nil && !l.Alive(w.now) {
			p.hold.Current = 0
		}
		p.granting = &granting{sent: w.now, before: p.raft}
	case g.id == 0:
		g.id = w.newLease()
	default:
		g.after = w.raft
		p.granting = nil
		p.takeUp(g)
	}
	return true
}

func (p *proc) takeUp(g *granting) {
	p.raft = g.after
	l, ok := Granted(g.id, ttl, g.sent, g.before, g.after)
	p.w.logf("%s lease %d granted: %v, until %d", p.id, g.id, ok, l.Deadline)
	if !ok {
		return
	}
	p.leases = append(p.leases, l.ID)
	p.hold.Leases = append(p.hold.Leases, &l)
	p.hold.Current = l.ID
	p.step(Input{What: Seen})
}

// renewing is a renewal on its way: to etcd, back, then the read that proves it, and back.
type renewing struct {
	lease    *Lease
	stage    int
	gone     bool
	acked    uint64
	verified uint64
}

// renew moves one renewal on by one step, or begins one.
func (p *proc) renew() bool {
	if len(p.hold.Leases) == 0 {
		return false
	}
	l := p.hold.Leases[0]
	if !p.w.mix.partial {
		l = p.hold.Leases[p.w.pick(len(p.hold.Leases))]
	}
	i := slices.IndexFunc(p.renewals, func(r *renewing) bool { return r.lease == l })
	if i < 0 {
		l.Sent(p.w.now)
		p.renewals = append(p.renewals, &renewing{lease: l})
		return true
	}
	r := p.renewals[i]
	done, quick := false, p.w.pick(2) == 0
	for once := true; !done && (once || quick); once = false {
		done = p.renewStep(r)
	}
	if done {
		p.renewals = slices.DeleteFunc(p.renewals, func(other *renewing) bool { return other == r })
	}
	return true
}

func (p *proc) renewStep(r *renewing) (done bool) {
	w := p.w
	r.stage++
	switch r.stage {
	case 1:
		r.acked = w.raft // etcd writes the header before it renews
		if w.raft > 1 && w.pick(2) == 1 {
			r.acked--
		}
	case 2:
		w.renewed(r)
	case 3:
		if r.gone {
			p.lost(r.lease.ID)
			return true
		}
		r.lease.Acked(ttl, r.acked)
	case 4:
		r.verified = w.raft
	case 5:
		p.verified(r)
		return true
	}
	return w.mix.lose && w.pick(8) == 0
}

// verified takes the proof of a renewal. A belief that has run out by now ends before anything moves.
func (p *proc) verified(r *renewing) {
	p.expired()
	p.raft = r.verified
	if !r.lease.Verified(p.w.now, r.verified) && p.hold.Current == r.lease.ID {
		p.hold.Current = 0
	}
}

// renewed is what etcd does about a renewal. A leader that was cut off answers too, but it does not count.
func (w *world) renewed(r *renewing) {
	life := w.life(r.lease.ID)
	if life == nil {
		r.gone = true
	} else if life.raft == w.raft && r.acked == w.raft {
		life.until = max(life.until, w.now+ttl)
	}
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
		if l.until <= w.now && w.pick(2) == 0 {
			w.end(l.id)
			return true
		}
	}
	return false
}

func (w *world) tick() bool {
	w.now += time.Duration(1 + w.pick(int(ttl/3)))
	w.logf("time passes")
	return true
}

// elect gives etcd another leader. Every lease lives longer for that, if it does not fall to the last one.
func (w *world) elect() bool {
	w.raft++
	w.logf("etcd: raft term %d", w.raft)
	return w.mix.raft
}
