package clock

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait after an attempt that failed: it grows with the number of the attempt from 20 ms up to a limit,
// with a quarter of it left to chance.
func Backoff(attempt int, limit time.Duration) time.Duration {
	d := min(20*time.Millisecond<<min(attempt-1, 8), limit)
	return d - rand.N(d/4+1)
}

// Pause waits, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
