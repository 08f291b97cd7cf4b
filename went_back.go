package locked

import (
	"fmt"
	"time"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// What the loop does when etcd has gone back. Nothing that is known of it is true any more: every belief ends, candidates enter
// anew, watches are opened anew at the present. They do so a TTL later, in which whoever still believes in a term of the etcd
// before finds out too, or has not renewed in time: so there are no two leaders, if all have the same TTL.

// wentBack forgets the etcd before, and says so.
func (l *Locker) wentBack(b etcd.Back) {
	now := l.clock.Now()
	l.backAt = &now
	err := fmt.Errorf("%w: %s", ErrWentBack, describe(b))
	l.log.Error("etcd has gone back", "error", err)
	for _, groups := range l.groups {
		for _, g := range groups {
			g.forget()
		}
	}
	for _, st := range l.states {
		st.tell(Event{Kind: EventError, Path: st.path, Cause: err}, everybody)
		st.forget()
	}
	for _, groups := range l.groups {
		for _, g := range groups {
			g.stepAll(election.WentBack)
			g.grant()
		}
	}
}

func describe(b etcd.Back) string {
	if b.Cluster {
		return fmt.Sprintf("another cluster answers, at revision %d", b.To)
	}
	return fmt.Sprintf("it was at revision %d and is at %d", b.From, b.To)
}

// barred is for how long no candidate with a TTL may enter.
func (l *Locker) barred(ttl time.Duration) time.Duration {
	if l.backAt == nil {
		return 0
	}
	return max(0, *l.backAt+ttl-l.clock.Now())
}

// forget drops all leases: the etcd before had them.
func (g *leaseGroup) forget() {
	for _, stop := range g.renewals {
		stop()
	}
	clear(g.renewals)
	clear(g.proven)
	g.holding, g.missed = election.Holding{}, miss{}
	g.giveUpGrant()
}

// forget drops what is known of the election, and follows it anew.
func (st *electionState) forget() {
	st.pathWatch.close()
	st.pathWatch = nil
	st.view, st.told, st.complaint = election.View{}, 0, nil
	st.leader.Store(&Leader{})
	if st.watch != nil {
		whole := st.watch.whole
		st.watch.close()
		st.watch = st.l.openWatch(st, whole)
	}
}
