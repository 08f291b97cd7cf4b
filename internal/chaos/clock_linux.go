package chaos

import (
	"time"

	"golang.org/x/sys/unix"
)

// now reads the clock that all processes of the machine share, and that goes on while it is suspended.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("chaos: CLOCK_BOOTTIME cannot be read: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}
