package locked

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var systemBoottime = newSuspendClock(boottime, wallAndMonotonic)

func (systemClock) Now() time.Duration { return systemBoottime.now() }

// unseen is more than CLOCK_BOOTTIME misses of a suspend. Where no clock of the processor goes on during a suspend,
// Linux takes its length from the real-time clock: that counts whole seconds, and what the two clocks have drifted apart
// since the suspend before, if that is less than two seconds, is put right on this occasion (timekeeping_suspend and
// timekeeping_resume in kernel/time/timekeeping.c). 1.2 s were seen. A lease would seem to live that much longer.
const unseen = 3 * time.Second

// suspendClock is CLOCK_BOOTTIME, and unseen more for each suspend that it has noticed: that is when it gets ahead of
// CLOCK_MONOTONIC, which stands still then. So it may be fast after a suspend that was counted, and is never slow. One that
// was shorter than what is missed may not have been counted at all, and cannot be noticed.
//
// Go reads CLOCK_BOOTTIME by a system call, and the wall clock and CLOCK_MONOTONIC without one. What Linux counts of a
// suspend it adds to CLOCK_BOOTTIME and to the wall clock at once (__timekeeping_inject_sleeptime). So as long as the wall
// clock is as far ahead of CLOCK_MONOTONIC as when all three were read, there was no suspend, and CLOCK_BOOTTIME is as far
// ahead of it too; when it is not, there was one, or somebody has set the clock, and CLOCK_BOOTTIME is read. Only a clock
// that is set back by as much as a suspend was long, to a ten thousandth of a second, before anybody has looked would hide one.
type suspendClock struct {
	boottime         func() time.Duration
	wallAndMonotonic func() (wall, monotonic time.Duration)
	seen             atomic.Pointer[suspends]
}

// suspends is what is known of the past: how far CLOCK_BOOTTIME and the wall clock are ahead of CLOCK_MONOTONIC, and what is
// added for suspends.
type suspends struct{ boottime, wall, added time.Duration }

// Clocks are read one after the other, so the difference seems smaller than it is; the more so if the thread has to wait in
// between.
const (
	readingError     = 10 * time.Millisecond  // CLOCK_BOOTTIME that gains less than this has seen no suspend
	wallReadingError = 100 * time.Microsecond // more than this, and all are read again
)

func newSuspendClock(boottime func() time.Duration, wallAndMonotonic func() (wall, monotonic time.Duration)) *suspendClock {
	c := &suspendClock{boottime: boottime, wallAndMonotonic: wallAndMonotonic}
	_, first := c.read()
	for range 5 { // the largest is the truest
		if _, again := c.read(); again.boottime > first.boottime {
			first = again
		}
	}
	c.seen.Store(&first)
	return c
}

func (c *suspendClock) now() time.Duration {
	wall, monotonic := c.wallAndMonotonic()
	if seen := c.seen.Load(); seen.hasWall(wall - monotonic) {
		return monotonic + seen.boottime + seen.added
	}
	return c.look()
}

// look reads all clocks, and notes what has become of them.
func (c *suspendClock) look() time.Duration {
	for {
		seen := c.seen.Load()
		now, news := c.read()
		news.added = seen.added
		if news.boottime > seen.boottime+readingError {
			news.added += unseen
		}
		news.boottime = max(news.boottime, seen.boottime)
		if c.seen.CompareAndSwap(seen, &news) { // otherwise somebody else has noticed something
			return now + news.added
		}
	}
}

// read reads all clocks, none of which has leapt meanwhile: a suspend between the readings would count for the wall clock
// alone.
func (c *suspendClock) read() (boottime time.Duration, s suspends) {
	for {
		wall, monotonic := c.wallAndMonotonic()
		before := wall - monotonic
		boottime = c.boottime()
		wall, monotonic = c.wallAndMonotonic()
		s = suspends{boottime: boottime - monotonic, wall: wall - monotonic}
		if s.hasWall(before) {
			return boottime, s
		}
	}
}

// hasWall reports whether the wall clock is still as far ahead.
func (s *suspends) hasWall(ahead time.Duration) bool {
	return (ahead - s.wall).Abs() < wallReadingError
}

func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("locked: CLOCK_BOOTTIME cannot be read: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}

var began = time.Now()

// wallAndMonotonic gives CLOCK_REALTIME and then CLOCK_MONOTONIC, each since some moment, without a system call.
func wallAndMonotonic() (wall, monotonic time.Duration) {
	now := time.Now()
	return time.Duration(now.UnixNano()), now.Sub(began)
}
