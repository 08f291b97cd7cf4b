package locked

import (
	"time"

	"golang.org/x/sys/unix"
)

func (systemClock) Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("locked: CLOCK_MONOTONIC cannot be read: " + err.Error()) // macOS has it since 10.12
	}
	return time.Duration(ts.Nano())
}
