//go:build !linux && !darwin && !windows

package clock

import "time"

var start = time.Now()

// Shared says whether a program can easily read [Uptime] as this one does.
const Shared = false

// Uptime is the time since this process was started: no other process can read it.
func Uptime() time.Duration { return time.Since(start) }

func (System) Now() time.Duration { return Uptime() }

// suspended is not to be known here.
func suspended() time.Duration { return 0 }
