package guard

import (
	"time"

	"golang.org/x/sys/unix"
)

const bootClock = unix.CLOCK_BOOTTIME

// suspended is for how long the machine was, as CLOCK_BOOTTIME has counted it. It is read several times: the clocks are
// read one after the other, and what comes between them makes it seem shorter.
func suspended() (longest time.Duration) {
	for range 5 {
		boot := Now()
		longest = max(longest, boot-read(unix.CLOCK_MONOTONIC))
	}
	return longest
}
