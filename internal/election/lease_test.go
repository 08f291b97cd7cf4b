package election

import (
	"testing"
	"time"
)

func granted(t *testing.T, sent time.Duration) *Lease {
	t.Helper()
	l, ok := Granted(7, ttl, sent, 3, 3)
	if !ok {
		t.Fatal("a lease granted in a known raft term is good")
	}
	return &l
}

// renew notes a whole renewal and reports whether the deadline moved.
func renew(l *Lease, sent, verified time.Duration, acked, read uint64) bool {
	l.Sent(sent)
	l.Acked(ttl, acked)
	return l.Verified(verified, read)
}

// Law 2: a deadline counts from before the request was sent, however late its reply comes.
func TestLaw2DeadlineCountsFromTheSend(t *testing.T) {
	l := granted(t, 10)
	if want := 10 + ttl - Margin(ttl); l.Deadline != want {
		t.Errorf("granted: the deadline is %d, not %d", l.Deadline, want)
	}
	if !renew(l, 40, 90, 3, 3) || l.Deadline != 40+ttl-Margin(ttl) {
		t.Errorf("renewed: the deadline is %d", l.Deadline)
	}
	if renew(l, 30, 95, 3, 3); l.Deadline != 40+ttl-Margin(ttl) {
		t.Errorf("an earlier send moved the deadline back to %d", l.Deadline)
	}
	if !l.Alive(l.Deadline-1) || l.Alive(l.Deadline) {
		t.Error("a lease is alive before its deadline, and not at it")
	}
}

// Law 2: what is verified too late resurrects nothing.
func TestLaw2LateVerifyRevivesNothing(t *testing.T) {
	l := granted(t, 0)
	deadline := l.Deadline
	if renew(l, 90, deadline, 3, 3) || l.Deadline != deadline || l.Alive(deadline) {
		t.Errorf("the deadline moved from %d to %d at %d", deadline, l.Deadline, deadline)
	}
	if renew(l, deadline+1, deadline+2, 3, 3) {
		t.Error("it can be renewed after its deadline")
	}
}

// Law 2: a lease is trusted only in the raft term of its grant.
func TestLaw2OtherRaftTermMovesNothing(t *testing.T) {
	for _, c := range []struct {
		name        string
		acked, read uint64
	}{
		{"a leader that was cut off acknowledged it", 3, 4},
		{"there is a new leader", 4, 4},
		{"the read went to a leader that was cut off", 4, 3},
		{"nothing was acknowledged", 0, 3},
	} {
		l := granted(t, 0)
		if deadline := l.Deadline; renew(l, 40, 50, c.acked, c.read) || l.Deadline != deadline {
			t.Errorf("%s: the deadline moved to %d", c.name, l.Deadline)
		}
	}
}

// Law 2: each renewal needs a proof of its own.
func TestLaw2EachRenewalIsVerified(t *testing.T) {
	l := granted(t, 0)
	renew(l, 40, 50, 3, 3)
	if l.Verified(60, 3) {
		t.Error("one acknowledgement was counted twice")
	}
	l.Sent(70)
	if l.Verified(80, 3) || l.Deadline != 40+ttl-Margin(ttl) {
		t.Error("a renewal was counted that was not acknowledged")
	}
}

// Law 2: a grant whose raft term is not known is not used.
func TestLaw2GrantedInAKnownRaftTerm(t *testing.T) {
	for _, c := range [][2]uint64{{3, 4}, {4, 3}, {0, 0}, {0, 3}, {3, 0}} {
		if l, ok := Granted(7, ttl, 0, c[0], c[1]); ok || l.ID != 0 {
			t.Errorf("granted between the raft terms %d and %d", c[0], c[1])
		}
	}
	l := granted(t, 5)
	if l.ID != 7 || l.TTL != ttl || l.RaftTerm != 3 {
		t.Errorf("granted: %+v", l)
	}
}

func TestHolding(t *testing.T) {
	a, b := granted(t, 0), granted(t, 10)
	b.ID = 8
	h := Holding{Current: 8, Leases: []*Lease{a, b}}
	if h.Lease(7) != a || h.Lease(8) != b || h.Lease(9) != nil {
		t.Error("a lease is found by its id")
	}
	if h.Deadline(8) != b.Deadline || h.Deadline(9) != 0 || h.Deadline(0) != 0 {
		t.Error("the deadline of a lease of somebody else is 0")
	}
}
