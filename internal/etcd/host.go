package etcd

import (
	"context"
	"log/slog"

	"github.com/samcday/locked/internal/clock"
)

// Host is whom Batches, Leases and Watches work for. What they know is touched in what was posted alone: their methods are
// called there too, unless they say otherwise.
type Host struct {
	Context context.Context // ends all that they do
	Clock   clock.Clock
	Log     *slog.Logger
	Post    func(func()) // has a function called, one after the other in the order of posting, and never waits; after the end it need not
	Spawn   func(func()) // starts a goroutine that the host waits for at the end
}
