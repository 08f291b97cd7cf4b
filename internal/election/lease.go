package election

import "time"

// Lease is what its holder may conclude about one etcd lease. Times are readings of one clock that counts suspends.
//
// The deadline counts from before a request was sent, never from when its reply arrived: etcd renews after the send, so
// the lease lives at least until the send plus its TTL. It moves only when a renewal was verified: an etcd leader that
// was cut off goes on acknowledging renewals that no longer count, and only an entry that was committed afterwards in the
// same raft term proves that it was still the leader.
//
// A lease is trusted only in the raft term in which it was granted. A paused etcd leader that resumes can still have all
// the leases revoked that it has not seen renewed, and only those granted after it lost its term are safe from that.
type Lease struct {
	ID       int64
	TTL      time.Duration // as granted: etcd raises a TTL that is too short for it
	RaftTerm uint64        // in which it was granted
	Deadline time.Duration // up to which it is proven to be alive

	sent  time.Duration // when the renewal under way was sent
	acked uint64        // raft term of its acknowledgement, 0 while there is none
	ttl   time.Duration // as acknowledged
}

// Margin is what is taken off a lease's TTL before it is counted on: clocks may differ in rate by a fiftieth.
func Margin(ttl time.Duration) time.Duration { return ttl / 50 }

// Period is how often a lease is renewed, and everything else that must happen every half TTL: a little more often than
// that, so that it is never late.
func Period(ttl time.Duration) time.Duration { return ttl * 45 / 100 }

// Granted gives the lease that was granted to a request sent at a time. The raft term of a grant is known only where the
// same term was proven to stand before the request was sent and was named in its answer; otherwise ok is false, and the
// lease must not be used.
func Granted(id int64, ttl, sent time.Duration, before, after uint64) (l Lease, ok bool) {
	if before != after || after == 0 {
		return Lease{}, false
	}
	return Lease{ID: id, TTL: ttl, RaftTerm: after, Deadline: sent + ttl - Margin(ttl)}, true
}

// Sent notes that a renewal is about to be sent.
func (l *Lease) Sent(at time.Duration) { l.sent, l.acked = at, 0 }

// Acked notes that the renewal under way was acknowledged in a raft term. It proves nothing yet.
func (l *Lease) Acked(ttl time.Duration, raftTerm uint64) { l.ttl, l.acked = ttl, raftTerm }

// Verified notes that an entry, proposed after the acknowledgement, was committed and answered in a raft term. It reports
// whether that moved the deadline. It does not when the deadline has passed, however late the reply was sent, nor when
// either raft term is not that of the grant.
func (l *Lease) Verified(at time.Duration, raftTerm uint64) bool {
	if l.acked != l.RaftTerm || raftTerm != l.RaftTerm || !l.Alive(at) {
		return false
	}
	l.Deadline = max(l.Deadline, l.sent+l.ttl-Margin(l.ttl))
	l.acked = 0
	return true
}

// Alive reports whether the lease is proven to be alive at a time.
func (l *Lease) Alive(at time.Duration) bool { return at < l.Deadline }

// Holding is the succession of leases that candidates write their keys with: new keys go onto the current one, and keys
// on an earlier one are moved to it.
type Holding struct {
	Current int64    // the lease to write with; 0 while there is none
	Leases  []*Lease // the current one and the earlier ones that keys may still be on
}

// Lease finds a lease of the holding, nil if it is none of its own.
func (h *Holding) Lease(id int64) *Lease {
	for _, l := range h.Leases {
		if l.ID == id {
			return l
		}
	}
	return nil
}

// Deadline is that of the lease with that id, 0 if it is none of the holding's.
func (h *Holding) Deadline(id int64) time.Duration {
	if l := h.Lease(id); l != nil {
		return l.Deadline
	}
	return 0
}
