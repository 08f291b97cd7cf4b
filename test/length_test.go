package test

import (
	"flag"
	"testing"
)

// What takes long is cut short, so that all tests together take minutes. With -long it is done at full length: .ci/run has a step
// for that, without the race detector, under which everything takes five to ten times as long.
var long = flag.Bool("long", false, "do at full length what is cut short otherwise")

// length is that of something, in rounds or whatever: the whole of it with -long, else what is cut short.
func length(whole, cut int) int {
	if *long {
		return whole
	}
	return cut
}

// onlyLong leaves a test out that takes more of the machine than a quarter of a minute, without -long.
func onlyLong(t *testing.T) {
	t.Helper()
	if !*long {
		t.Skip("takes long: run it with -long")
	}
}

// notShort leaves a test out with -short that waits for many seconds: for a lease to end, or for a process that was stopped.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
}
