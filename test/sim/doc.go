// Package sim tests elections in simulated time: a real etcd server and real clients in a testing/synctest bubble, joined by links
// in memory, on which faults can be put. The clock jumps when every goroutine waits, so an hour of faults takes under a second.
//
// A test is ten lines. This one cuts a leader off, and sees another one lead, and that all are candidates again when it is over:
//
//	func TestCutOffLeader(t *testing.T) {
//		sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
//			a.StartAll()
//			m := a.AwaitLeader()
//			m.Link.Cut()
//			a.Await("another leader", func() bool { l := a.Leader(); return l != nil && l != m })
//			m.Link.Heal()
//			a.AwaitSettled()
//		})
//	}
//
// It asserts more than it says. The [Arena] records every revision of etcd, and of each [Member] when it believed to lead and what
// its subscribers were told. When the function returns it closes all and holds the record against the laws of docs/protocol.md:
// no two believed to lead at once and their tokens grew (2 and 3, also by Porcupine: [IsLock]), one term at a time, whose value the
// path has (1), first come, first served (5), no gap where none has a reason (6), events that are true and in order (9), nothing
// left in etcd (11), and everybody who led was elected (12). A test that breaks a law on purpose says so: see Arena.Edits, Arena.Clean and
// [Arena.MayOverlap].
//
// # From below
//
//   - [Run] gives a [Sim]: a server, which can be stopped, restarted and compacted, its clients, and clocks that can be suspended.
//   - A [Link] is the way of one client to the server. It can be cut, delayed, reset, made to drip; requests on it can be turned away,
//     lost, held back, sent twice, counted ([Matcher], [Rule]); and behind it there can be a member of etcd that does not know that it
//     was deposed ([Link.Depose]).
//   - A [History] is what was believed of one lock, [Additions] is what was done to one counter: for tests that do without an Arena.
//   - [Faults] are some thirty things that can go wrong with an Arena, and [Arena.UnderFaults] has them happen at random.
//
// A test that fails prints a seed, which -seed makes the same random choices again from; -simlog prints what the lockers do.
//
// In the bubble s.T is the test, not t. Whatever the function starts has to end before it does: the bubble panics if a goroutine is
// left behind. A test that waits for ever is no deadlock to the bubble, as the server's own timers go on: [Sim.Limit] ends it, after 48
// simulated hours if it says nothing else.
package sim
