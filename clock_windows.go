package locked

import (
	"time"

	"golang.org/x/sys/windows"
)

func (systemClock) Now() time.Duration { return windows.DurationSinceBoot() }
