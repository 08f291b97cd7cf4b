package locked

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var systemBoottime = newSuspendClock(boottime, monotonic)

func (systemClock) Now() time.Duration { return systemBoottime.now() }

// unseen is more than CLOCK_BOOTTIME misses of a suspend. Where no clock of the processor goes on during a suspend,
// Linux takes its length from the real-time clock: that counts whole seconds, and what the two clocks have drifted apart
// since the suspend before, if that is less than two seconds, is put right on this occasion (timekeeping_suspend and
// timekeeping_resume in kernel/time/timekeeping.c). 1.2 s were seen. A lease would seem to live that much longer.
const unseen = 3 * time.Second

// suspendClock is CLOCK_BOOTTIME, and unseen more for each suspend that it has noticed: that is when it gets ahead of
// CLOCK_MONOTONIC, which stands still then. So it may be fast after a suspend that was counted, and is never slow. One that
// was shorter than what is missed may not have been counted at all, and cannot be noticed.
type suspendClock struct {
	boottime, monotonic func() time.Duration
	seen                atomic.Pointer[suspends]
}

// suspends is what is known of the past: how far the one clock is ahead of the other, and what is added for that.
type suspends struct{ ahead, added time.Duration }

// Clocks are read one after the other, so the difference seems smaller than it is; the more so if the thread has to wait in
// between. A difference that grows by less than this is no suspend.
const readingError = 10 * time.Millisecond

func newSuspendClock(boottime, monotonic func() time.Duration) *suspendClock {
	c := &suspendClock{boottime: boottime, monotonic: monotonic}
	first := &suspends{}
	for range 5 { // the largest is the truest
		first.ahead = max(first.ahead, boottime()-monotonic())
	}
	c.seen.Store(first)
	return c
}

func (c *suspendClock) now() time.Duration {
	for {
		seen := c.seen.Load()
		now := c.boottime()
		ahead := now - c.monotonic()
		if ahead <= seen.ahead {
			return now + seen.added
		}
		news := &suspends{ahead, seen.added}
		if ahead > seen.ahead+readingError {
			news.added += unseen
		}
		c.seen.CompareAndSwap(seen, news) // somebody else may have noticed it first: look again
	}
}

func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("locked: CLOCK_BOOTTIME cannot be read: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}

var began = time.Now()

// monotonic is CLOCK_MONOTONIC as Go reads it, which needs no system call.
func monotonic() time.Duration { return time.Since(began) }
