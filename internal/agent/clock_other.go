//go:build !linux

package agent

import "time"

const sharedClock = false

var started = time.Now()

func uptime() time.Duration { return time.Since(started) }
