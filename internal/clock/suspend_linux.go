package clock

import (
	"sync/atomic"
	"time"
)

var systemBoottime = newSuspendClock(Uptime, wallAndMonotonic)

// Now reads the clock that leases are judged by.
func (System) Now() time.Duration { return systemBoottime.now() }

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

// wallReadingError is by how much the difference of clocks that are read one after the other may seem to change before all are
// read again: the thread may have to wait in between.
const wallReadingError = 100 * time.Microsecond

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

var began = time.Now()

// wallAndMonotonic gives CLOCK_REALTIME and then CLOCK_MONOTONIC, each since some moment, without a system call.
func wallAndMonotonic() (wall, monotonic time.Duration) {
	now := time.Now()
	return time.Duration(now.UnixNano()), now.Sub(began)
}
