package locked

import (
	"sync/atomic"
	"time"
)

// belief is a node's conviction to hold one term, up to a reading of the clock. Anybody may ask it; the loop moves the
// end while the lease is renewed. Once it was found to be over it stays over, whoever found it: a renewal that is
// verified late cannot revive it.
type belief struct {
	token int64
	until atomic.Int64 // reading of the clock in nanoseconds; over says that it has ended
	ended atomic.Int64 // reading of the clock at which it ran out, if it did
}

const over = -1 << 62

// holds reports whether the belief stands at a time, and ends it for good if it does not.
func (b *belief) holds(now time.Duration) bool {
	for {
		until := b.until.Load()
		if int64(now) < until {
			return true
		}
		if until == over {
			return false
		}
		if b.until.CompareAndSwap(until, over) {
			b.ended.Store(until)
			return false
		}
	}
}

// extend moves the end, unless the belief is over by now.
func (b *belief) extend(now, until time.Duration) {
	for {
		old := b.until.Load()
		if int64(now) >= old || b.until.CompareAndSwap(old, int64(until)) {
			return
		}
	}
}

// ranOut reports whether the belief has ended by itself.
func (b *belief) ranOut() bool { return b.ended.Load() != 0 }

func (b *belief) end() { b.until.Store(over) }

// remaining is how long the belief stands without being extended.
func (b *belief) remaining(now time.Duration) time.Duration {
	return max(0, time.Duration(b.until.Load())-now)
}
