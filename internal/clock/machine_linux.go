package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Shared says that other programs of the machine can read [Uptime] too: it is the first number in /proc/uptime.
const Shared = true

// Uptime is the time since the machine was started as the kernel counts it (CLOCK_BOOTTIME), suspends included. It is the same
// for all processes of the machine.
func Uptime() time.Duration { return read(unix.CLOCK_BOOTTIME) }

func read(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic("locked: the clock cannot be read: " + err.Error()) // Linux has CLOCK_BOOTTIME since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// suspended is for how long the machine was, as CLOCK_BOOTTIME has counted it. It is read several times: the clocks are
// read one after the other, and what comes between them makes it seem shorter.
func suspended() (longest time.Duration) {
	for range 5 {
		boot := Uptime()
		longest = max(longest, boot-read(unix.CLOCK_MONOTONIC))
	}
	return longest
}
