package locked

import "time"

// clock tells the time since some moment that stays the same, and counts the time that the machine was suspended. Go's
// own monotonic clock does not count it on Linux, so a lease would seem to be alive after a night in a closed notebook.
//
//	Linux    CLOCK_BOOTTIME, and three seconds more for each suspend: see suspendClock
//	macOS    CLOCK_MONOTONIC, which goes on during sleep there
//	Windows  GetTickCount64, which goes on during sleep, in steps of 10 to 16 ms
//	others   Go's monotonic clock: what it counts depends on the system
//
// No clock counts the time that a hypervisor stopped the machine without its noticing.
type clock interface {
	Now() time.Duration
}

// systemClock is the machine's own.
type systemClock struct{}
