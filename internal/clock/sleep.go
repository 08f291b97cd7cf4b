package clock

import (
	"context"
	"time"
)

// Sleep waits for a time, and no longer than ctx lives. It reports whether the time has passed.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
