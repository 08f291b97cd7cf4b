// Package hitch is for tests. A machine that is busy may hold a process up for seconds, at any place, and then nothing is
// wrong with what took long, nor with a port that somebody else has got meanwhile.
package hitch

import (
	"testing"
	"time"

	"github.com/samcday/locked/internal/server/port"
)

const step = 10 * time.Millisecond

// Ran tells for how long this process ran while f did. The time in which the machine held it up does not count.
func Ran(f func()) (ran time.Duration) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(step); ; ran += step {
			select {
			case <-tick.C: // those that nobody was there to receive are left out
			case <-done:
				return
			}
		}
	}()
	defer func() {
		close(done)
		<-stopped
	}()
	f()
	return ran
}

// enough is for how long the machine must have held a process up to excuse what came too late. A busy one does for less all
// the time.
const enough = 500 * time.Millisecond

// HeldUp reports whether the machine was seen to hold this process up for long while f did.
func HeldUp(f func()) bool {
	begin := time.Now()
	ran := Ran(f)
	return time.Since(begin)-ran >= enough
}

// Try does f, and fails the test with its error; but if the machine was seen to hold this process up meanwhile it does f
// again, up to five times in all.
func Try(t testing.TB, f func(try int) error) {
	t.Helper()
	for try := range 5 {
		var err error
		held := HeldUp(func() { err = f(try) })
		switch {
		case err == nil:
			return
		case !held:
			t.Fatal(err)
		}
		t.Logf("%v; the machine has held us up: once more", err)
	}
	t.Fatal("the machine has held us up each time")
}

// Addr is an address of this machine where nobody listens. It is kept until the test ends, see [port.Keep].
func Addr(t testing.TB) string {
	t.Helper()
	addr, release, err := port.Keep()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}
