// Package hitch is for tests. A machine that is busy may hold a process up for seconds, at any place, and then nothing is
// wrong with what took long, nor with a port that somebody else has got meanwhile.
package hitch

import (
	"testing"
	"time"
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

// Addr is an address of this machine where nobody listens. It is kept until the test ends: nobody else is given it, but
// who asks for it, to listen there, gets it.
func Addr(t testing.TB) string {
	t.Helper()
	addr, release, err := Keep()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}
