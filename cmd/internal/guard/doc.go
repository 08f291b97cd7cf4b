// Package guard runs a program that must be dead, with all that it has started, before a deadline that moves.
//
// Two processes watch over the program, so that no single one that is killed, stopped or starved lets it live too long:
//
//	supervisor ── guard ── program ── whatever it starts
//
// The supervisor is the process that uses this package. The guard is a process of the same binary, which runs [Main]. It
// starts the program, in a process group of its own, and is told over a socket up to when it may live.
//
//	supervisor                     the program gets
//	asks for it (Stop)             TERM, and KILL after the grace
//	stopped, starved               TERM a grace before the deadline that the guard was told last, and KILL before it
//	killed                         TERM as soon as the socket ends, and KILL after the grace
//
//	guard
//	killed                         KILL, as the parent-death signal; the rest gets it from the supervisor
//	stopped, silent                KILL from the supervisor before the deadline that the guard has confirmed last
//
// KILL comes a reserve before the deadline at the latest, whatever the grace is, so that there is time to see that all are
// gone. What was started by the program and outlives it gets the same, as if the program had been asked to end.
//
// On Linux "all" is every descendant: guard and supervisor are child subreapers, so that a process which leaves its group,
// its session or its parent still descends from them, and all are known to be gone when the kernel says that there are no
// children. Where the process may make a cgroup below its own, the program runs in one, which reaches also what
// has another user. On macOS all is the process group. Not reached anywhere: what other daemons start for the program
// (systemd, at, docker). If supervisor and guard are both killed with SIGKILL at the same moment the program dies on
// Linux, and its children live on.
package guard
