// Package cluster runs the members of an etcd cluster as processes of their own, with a network between them, and between
// them and their clients, in which faults can be made: a process can be stopped, killed and started again, and what one
// end sends to the other can be held back, slowed down, cut off or delivered late.
//
// The program that uses the package runs itself again for each member, or runs an etcd program of another release. No process
// outlives it.
package cluster
