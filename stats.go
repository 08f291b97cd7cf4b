package locked

import "sync/atomic"

// counters count what a locker has seen since it was made.
type counters struct {
	selected atomic.Int64
	overdue  atomic.Int64
	ends     [len(endNames)]atomic.Int64
}

var endNames = [...]string{"expired", "transferred", "stopped", "removed", "unhealthy"}
var endCauses = [len(endNames)]error{ErrExpired, ErrTransferred, ErrStopped, ErrRemoved, ErrUnhealthy}

func (c *counters) deselected(cause error) {
	for i, e := range endCauses {
		if cause == e {
			c.ends[i].Add(1)
		}
	}
}
