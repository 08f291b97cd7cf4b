//go:build linux || darwin

package guard

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now reads the clock that deadlines are counted on. It is the same for all processes of the machine, and goes on while
// the machine is suspended.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(bootClock, &ts); err != nil {
		panic("guard: the clock cannot be read: " + err.Error()) // the library, which has the same, would have failed before
	}
	return time.Duration(ts.Nano())
}
