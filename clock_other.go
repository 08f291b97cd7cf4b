//go:build !linux && !darwin && !windows

package locked

import "time"

var start = time.Now()

func (systemClock) Now() time.Duration { return time.Since(start) }
