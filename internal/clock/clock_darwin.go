package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Shared says whether a program can easily read [Uptime] as this one does.
const Shared = false

// Uptime is CLOCK_MONOTONIC, which goes on during sleep. It is the same for all processes of the machine.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("locked: CLOCK_MONOTONIC cannot be read: " + err.Error()) // macOS has it since 10.12
	}
	return time.Duration(ts.Nano())
}

func (System) Now() time.Duration { return Uptime() }

// suspended is not to be known here, and need not be.
func suspended() time.Duration { return 0 }
