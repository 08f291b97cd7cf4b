package clock

import (
	"time"

	"golang.org/x/sys/windows"
)

// Shared says whether a program can easily read [Uptime] as this one does.
const Shared = false

// Uptime is the time since the machine was started, sleep included, in steps of 10 to 16 ms. It is the same for all processes
// of the machine.
func Uptime() time.Duration { return windows.DurationSinceBoot() }

func (System) Now() time.Duration { return Uptime() }

// suspended is not to be known here, and need not be.
func suspended() time.Duration { return 0 }
