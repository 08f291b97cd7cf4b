// Package election is the protocol of locked: what a candidate of one election concludes from what it is told, and which
// transaction it wants committed next. It does no I/O, reads no clock, draws no random number and starts no goroutine:
// time, luck and answers come in as data, so the same inputs always give the same actions.
//
// # Keys
//
// An election at PATH lives in these etcd keys. Data is "id:::value", see [Join].
//
//	PATH                  data of the elected candidate: the public mirror, for any etcd client
//	PATH:::term/NONCE     the same, at most one; its CreateRevision is the token of the term
//	PATH:::queue/NONCE    data of one that waits; the queue is in order of CreateRevision
//	PATH:::transfer       "TOKEN:::id": a request that the holder of that term hands over to id, or to the next in line
//
// # Parts
//
//   - [View] is the election as it was at one revision, kept up to date from a watch.
//   - [Candidate] is the state of one candidacy. [Candidate.Step] takes one [Input] and returns the [Action] values that
//     the caller must carry out, in order. A candidate has at most one transaction under way.
//   - [Lease] is what may be concluded about an etcd lease from renewals, and [Holding] the succession of leases that a
//     candidate writes its keys with.
//   - [Sweep] tells how to remove keys that late transactions left behind.
//
// # How a candidate decides
//
// A candidate remembers where it stands ([Place]) and at which revision that was true, and compares it with what is
// wanted of it. Whatever it is told, it first corrects that memory, then its belief, then picks the one transaction that
// brings it nearer to what is wanted. There is no list of cases of what may go wrong: an answer that was lost is followed
// by a read, and a read is only another source of truth.
//
// Each transaction carries compares that make it harmless if it commits late, when its sender has long given up on it.
// A term that a candidate has once stopped believing in is never believed in again: a candidate that goes on leading
// after a doubt commits a new term first, which disarms whatever may still be under way for the old one.
package election
