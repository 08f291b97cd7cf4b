//go:build !linux

package agent

import (
	"math"
	"net"
	"time"
)

// openFiles is not asked for here.
func openFiles() int { return math.MaxInt32 }

// limitSilence does nothing here: a peer that has vanished is found by the write deadline, once the buffers are full.
func limitSilence(net.Conn, time.Duration) {}

// unread is not known here.
func (c *conn) unread() (bytes int, known bool) { return 0, false }
