// Package supervise runs a program while a node is elected, and never while it is not: what "locked run" does.
//
// A [Run] competes with [locked.Node.Lead]. Each term it has a guard (package guard) run the program, tells it how long the
// lease is good for, and hands over only when nothing of the program is alive.
package supervise
