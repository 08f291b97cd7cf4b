// Package chaos makes faults happen to real processes, and finds out whether an election keeps its promises meanwhile.
//
// Candidates and the members of an etcd cluster are processes; every connection between any two of them leads through a
// link that can be cut, slowed down or made to deliver late. A schedule that follows from a seed alone decides what happens
// to whom and when. Each fault tells not only that it was made but that it hit, and what showed it.
//
// What happens is written down by those to whom it happens, in files that outlive a kill: when a candidate asked itself
// whether it leads, and what it answered; which write it tried, and how that ended. All are processes of one machine, with
// one clock, CLOCK_BOOTTIME, which is read before and after each of these. A watch of the whole history of etcd is written
// down beside them. The checkers look at these records alone. They neither use nor trust the code that is tried.
//
//   - At most one candidate believes to lead at a time. A belief lasts for certain from the end of the first question that
//     was answered with yes to the beginning of the last. It ends before etcd ends the term.
//   - Tokens grow, and each is that of a term that etcd knows.
//   - At each revision there is at most one term, and the path shows its data; it is not empty between a leader that left
//     and one who waited; who has waited longest is next.
//   - Each fenced write was committed in the term that its token names. None that was acknowledged is missing, none that
//     was refused is there. The fenced register, and the election as a lock, are linearizable (by Porcupine).
//   - Nobody waits for a leader for longer than the time that follows from the leases and the faults, see [Bound], and
//     within [Calm] of the end of all faults everybody has one again.
package chaos
