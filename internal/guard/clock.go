//go:build linux || darwin

package guard

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now reads the clock that deadlines are counted on. It is the same for all processes of the machine, and goes on while
// the machine is suspended.
func Now() time.Duration { return read(bootClock) }

func read(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic("guard: the clock cannot be read: " + err.Error()) // the library, which has the same, would have failed before
	}
	return time.Duration(ts.Nano())
}

// moment is a deadline, with what was known of suspends when it was set. Linux may count a suspend up to three seconds
// too short (clock_linux.go of the package locked tells why): then the deadline is nearer than it seems.
type moment struct{ At, Suspended time.Duration }

const (
	unseen       = 3 * time.Second       // of a suspend
	readingError = 10 * time.Millisecond // of two clocks, one after the other
)

// newMoment makes one of a reading of the clock that is computed now.
func newMoment(reading func() time.Duration) moment {
	s := suspended() // before the reading: a suspend in between makes the deadline too early, not too late
	return moment{reading(), s}
}

// reading is the deadline as a reading of [Now].
func (m *moment) reading() time.Duration {
	if s := suspended(); s > m.Suspended+readingError {
		m.At, m.Suspended = m.At-unseen, s
	}
	return m.At
}
