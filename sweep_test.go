package locked

import (
	"slices"
	"testing"
	"time"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// Law 2: a candidate that waits may have been handed a term that was deleted by hand since, and not know of either. Until it
// does, the sweep leaves PATH alone: it would believe while another one enters the empty election.
func TestSweepLeavesPathToTheUnaware(t *testing.T) {
	const lease, seen = 7, 20 // the candidate has seen so many revisions
	waiting := waitingCandidate(t, "/p", seen)
	st := &electionState{path: "/p", nodes: []*Node{{candidate: waiting}}}
	st.view.Reset("/p", seen, nil)
	l := &Locker{states: map[string]*electionState{"/p": st}}
	leftovers := func(put int64) []election.Txn { // if PATH was put at that revision
		path := election.Key{Data: "a:::v", Create: 1, Mod: put, Lease: lease}
		return l.leftovers("/p", lease, &etcd.Snapshot{Revision: put + 10, Changes: []election.Change{{Name: "/p", Key: path}}}, false)
	}
	if got := leftovers(seen + 1); len(got) != 0 {
		t.Errorf("PATH was put after what the candidate has seen, and the sweep does %v", got)
	}
	if got := leftovers(seen); len(got) != 1 {
		t.Errorf("the candidate has seen the revision at which PATH was put, and the sweep does %v", got)
	}
}

// waitingCandidate gives one that waits behind another one's term.
func waitingCandidate(t *testing.T, path string, revision int64) *election.Candidate {
	c := election.NewCandidate(path, "mine", time.Second)
	le, _ := election.Granted(1, 10*time.Second, 0, 1, 1)
	holding := &election.Holding{Leases: []*election.Lease{&le}, Current: 1}
	view := new(election.View)
	asked := c.Step(election.Input{What: election.Enter, Data: "b:::v", View: view, Holding: holding})[0]
	view.Reset(path, revision, []election.Change{ // as the branch shows that is taken where somebody leads
		{Name: election.TermPrefix(path) + "other", Key: election.Key{Data: "a:::v", Create: 1, Mod: 1, Lease: 2}},
		{Name: election.QueuePrefix(path) + "mine.1", Key: election.Key{Data: "b:::v", Create: revision, Mod: revision, Lease: 1}},
	})
	reply := election.Reply{Seq: asked.Seq, Result: election.Refused, Revision: revision}
	c.Step(election.Input{What: election.Answer, View: view, Holding: holding, Reply: reply})
	if c.Place() != election.Queued {
		t.Fatalf("it does not wait: %+v", c)
	}
	return c
}

// Renewals are counted by lease: of two that are renewed in turns, each is listed after every second renewal of its own.
func TestEachLeaseIsSwept(t *testing.T) {
	listings := 0
	l := &Locker{leases: etcd.NewLeases(nil, etcd.Host{Spawn: func(func()) { listings++ }}, nil)}
	g := &leaseGroup{l: l, proven: map[int64]int{}}
	var got []int
	for range 4 {
		for _, le := range []*election.Lease{{ID: 1}, {ID: 2}} {
			before := listings
			g.listing = false // the last one was answered
			if g.sweepAfter(le); listings > before {
				got = append(got, int(le.ID))
			}
		}
	}
	if want := []int{1, 2, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("swept %v, want %v", got, want)
	}
}
