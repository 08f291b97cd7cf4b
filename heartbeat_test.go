package locked

import (
	"testing"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// Many watches that are opened one after the other take a while, which is no stall as long as one after the other is.
func TestOpeningManyWatchesIsNoStall(t *testing.T) {
	l := &Locker{clock: clock.System{}, timeout: time.Hour}
	now := l.clock.Now()
	waiting := &feed{asked: now - 24*time.Hour}
	s := &stream{l: l, feeds: map[int64]*feed{1: {opened: true, got: 7}, 2: waiting}}
	s.opened = now - l.timeout/2
	if f := s.laggard(7); f != nil {
		t.Error("a stall, although a watch was opened half a request timeout ago")
	}
	s.opened = now - 2*l.timeout
	if f := s.laggard(7); f != waiting {
		t.Error("no stall, although no watch was opened for two request timeouts")
	}
	if waiting.asked = now; s.laggard(7) != nil {
		t.Error("a stall, although the watch was asked for just now")
	}
}
