package locked

import (
	"testing"
	"time"

	"github.com/samcday/locked/internal/election"
)

// Law 2: a candidate that waits may have been handed a term that was deleted by hand since, and not know of either. Until it
// does, the audit leaves PATH alone: it would believe while another one enters the empty election.
func TestAuditLeavesPathToTheUnaware(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		a.startAll()
		a.awaitLeader()
		a.settled()
		waiting := a.members[0]
		if waiting == a.leader() {
			waiting = a.members[1]
		}
		const lease = 7
		orphans := func(after int64) []election.Txn { // if PATH was put so many revisions after what the candidate has seen
			result := make(chan []election.Txn, 1)
			waiting.locker.post(func() {
				put := waiting.locker.contests[a.path].view.Revision + after
				path := election.Key{Data: "a:::v", Create: 1, Mod: put, Lease: lease}
				seen := &snapshot{revision: put + 10, changes: []election.Change{{Name: a.path, Key: path}}}
				result <- waiting.locker.orphans(a.path, lease, seen, false)
			})
			return <-result
		}
		if got := orphans(1); len(got) != 0 {
			a.t.Errorf("PATH was put after what the candidate has seen, and the audit does %v", got)
		}
		if got := orphans(0); len(got) != 1 {
			a.t.Errorf("the candidate has seen the revision at which PATH was put, and the audit does %v", got)
		}
	})
}
