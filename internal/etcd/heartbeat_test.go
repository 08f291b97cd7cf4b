package etcd

import (
	"testing"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// Many watches that are opened one after the other take a while, which is no stall as long as one after the other is.
func TestOpeningManyWatchesIsNoStall(t *testing.T) {
	all := &Watches{conn: &Conn{timeout: time.Hour}, host: Host{Clock: clock.System{}}}
	now := all.host.Clock.Now()
	waiting := &Watch{asked: now - 24*time.Hour}
	s := &stream{all: all, watches: map[int64]*Watch{1: {opened: true, got: 7}, 2: waiting}}
	s.opened = now - all.conn.timeout/2
	if w := s.laggard(7); w != nil {
		t.Error("a stall, although a watch was opened half a request timeout ago")
	}
	s.opened = now - 2*all.conn.timeout
	if w := s.laggard(7); w != waiting {
		t.Error("no stall, although no watch was opened for two request timeouts")
	}
	if waiting.asked = now; s.laggard(7) != nil {
		t.Error("a stall, although the watch was asked for just now")
	}
}
