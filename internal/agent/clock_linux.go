package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// sharedClock says that programs on this machine can read the clock of the agent: it is the first number in /proc/uptime.
const sharedClock = true

// uptime is the time since the machine was started, suspends included.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("locked: CLOCK_BOOTTIME cannot be read: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}
