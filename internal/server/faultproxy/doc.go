// Package faultproxy is a network with faults, between processes on one machine: what one end sends to the other can be held
// back, slowed down, cut off or delivered late.
package faultproxy
