package locked

import (
	"time"

	"github.com/samcday/locked/internal/etcd"
)

// outage is a time in which etcd does not answer, or nobody leads it. The log hears when it begins, once a minute, and when it is
// over; of each request that fails meanwhile it hears at the level of debugging alone. It belongs to the loop.
type outage struct {
	failures int           // of leases, in a row
	since    time.Duration // reading of the clock at the first of them
	told     time.Duration // when the log has heard of it; 0 while it has not
}

// outageEvery is how often the log hears of an outage that goes on.
const outageEvery = time.Minute

// failing notes that a lease was not granted, or not renewed. One failure alone is none to speak of: the next attempt mostly reaches
// another member. What etcd refuses is no outage, and told by whoever has asked.
func (l *Locker) failing(err error) {
	o, now := &l.outage, l.clock.Now()
	if o.failures++; o.failures == 1 {
		o.since = now
		return
	}
	switch {
	case etcd.Final(err):
	case o.told == 0:
		o.told = now
		leading, left := l.atStake(now)
		l.log.Warn("etcd does not answer", "error", err, "leading", leading, "left", left)
	case now-o.told >= outageEvery:
		o.told = now
		leading, left := l.atStake(now)
		l.log.Warn("etcd still does not answer", "for", (now - o.since).Round(time.Second), "error", err, "leading", leading, "left", left)
	}
}

// answering notes that a lease was granted, or renewed.
func (l *Locker) answering() {
	if l.outage.told != 0 {
		l.log.Info("etcd answers again", "after", (l.clock.Now() - l.outage.since).Round(time.Millisecond))
	}
	l.outage = outage{}
}

// atStake is how many nodes lead, and how long the first of them will go on without another renewal.
func (l *Locker) atStake(now time.Duration) (leading int, left time.Duration) {
	for n := range l.believers.nodes {
		if b := n.belief.Load(); b != nil && b.holds(now) {
			if leading++; leading == 1 || b.remaining(now) < left {
				left = b.remaining(now)
			}
		}
	}
	return leading, left.Round(time.Millisecond)
}
