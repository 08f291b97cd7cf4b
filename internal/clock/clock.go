// Package clock reads the machine's clocks, the one that leases are judged by and the one that its processes share, and waits.
package clock

import "time"

// Clock tells the time since some moment that stays the same, and counts the time that the machine was suspended. Go's
// own monotonic clock does not count it on Linux, so a lease would seem to be alive after a night in a closed notebook.
//
//	Linux    CLOCK_BOOTTIME, and three seconds more for each suspend: see suspendClock
//	macOS    CLOCK_MONOTONIC, which goes on during sleep there
//	Windows  GetTickCount64, which goes on during sleep, in steps of 10 to 16 ms
//	others   Go's monotonic clock: what it counts depends on the system
//
// No clock counts the time that a hypervisor stopped the machine without its noticing.
type Clock interface {
	Now() time.Duration
}

// System is the machine's own.
type System struct{}

var _ Clock = System{}

// unseen is more than CLOCK_BOOTTIME misses of a suspend. Where no clock of the processor goes on during a suspend,
// Linux takes its length from the real-time clock: that counts whole seconds, and what the two clocks have drifted apart
// since the suspend before, if that is less than two seconds, is put right on this occasion (timekeeping_suspend and
// timekeeping_resume in kernel/time/timekeeping.c). 1.2 s were seen. A lease would seem to live that much longer.
const unseen = 3 * time.Second

// readingError is by how much the difference of clocks that are read one after the other may seem to change without a suspend.
const readingError = 10 * time.Millisecond

// Deadline is a moment of [Uptime], with what was known of suspends when it was set: it can be handed to another process of
// the machine. A suspend that was counted too short makes it come nearer than it seems, so each brings it forward.
type Deadline struct{ At, Suspended time.Duration }

// NewDeadline makes one of a reading of [Uptime] that is computed now.
func NewDeadline(reading func() time.Duration) Deadline {
	s := suspended() // before the reading: a suspend in between makes the deadline too early, not too late
	return Deadline{reading(), s}
}

// Reading is the deadline as a reading of [Uptime].
func (d *Deadline) Reading() time.Duration {
	if s := suspended(); s > d.Suspended+readingError {
		d.At, d.Suspended = d.At-unseen, s
	}
	return d.At
}
