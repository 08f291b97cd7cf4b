package agent

import (
	"time"

	"github.com/samcday/locked/internal/clock"
)

// sight is since when everything is seen, by the machine's clock, and when that was not so. A term that lasted while nothing was
// seen may have ended long before etcd's keys tell it: its leader may have stopped believing then.
type sight struct {
	now   func() time.Duration // nil for the machine's clock
	last  time.Duration        // reading at which everything was seen; 0 for never
	blind time.Duration        // how long the latest time was in which it was not
	back  time.Duration        // reading at which that ended
}

// unseenAfter is how long it may be between two looks. They come every [beatEvery].
const unseenAfter = beatEvery + time.Second

func (s *sight) clock() time.Duration {
	if s.now != nil {
		return s.now()
	}
	return clock.Uptime()
}

// look notes that everything is seen now. After a new beginning nothing was seen in between, however short that was.
func (s *sight) look(anew bool) {
	now := s.clock()
	if s.last != 0 && (anew || now-s.last > unseenAfter) {
		s.blind, s.back = now-s.last, now
	}
	s.last = now
}

// doubt is for how long nothing was seen, if that may have to do with the end, now, of what began at a reading of the clock.
//
// A leader that stops believing while nothing is seen for a time d has renewed its lease less than d before or within it, and
// has a TTL of less than three times d; what it leads ends within a TTL of etcd's return. Who leads longer has renewed since.
func (s *sight) doubt(began time.Duration) time.Duration {
	if s.blind == 0 || began > s.back || s.clock()-s.back > 4*s.blind+10*time.Second {
		return 0
	}
	return s.blind
}
