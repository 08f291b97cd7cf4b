package chaos

import (
	"math/rand/v2"
	"slices"
	"time"
)

// plan is a fault that shall be made. It follows from the seed alone; whom it meets is found out when it is made.
type plan struct {
	kind     string
	wait     time.Duration // after the one before
	election int           // it meets whoever leads this
	pick     int           // or this one, if nobody does
	long     float64       // from 0 to 1
}

// schedule deals the faults of one lane.
type schedule struct {
	lane      lane
	elections int
	rng       *rand.Rand
	left      []string // of this round
}

// schedules gives those of all lanes that have any of the kinds that are wanted. If that is only some of them, little time
// passes between two faults.
func schedules(seed uint64, elections int, wanted func(kind string) bool) (list []*schedule) {
	for i, l := range lanes {
		kinds := slices.DeleteFunc(slices.Clone(l.kinds), func(k string) bool { return !wanted(k) })
		if len(kinds) == 0 {
			continue
		}
		if len(kinds) < len(l.kinds)/2 {
			l.max = l.min
		}
		l.kinds = kinds
		for j := range l.parallel {
			list = append(list, &schedule{lane: l, elections: elections, rng: rand.New(rand.NewPCG(seed, uint64(100*i+j)))})
		}
	}
	return list
}

func (s *schedule) next() plan {
	if len(s.left) == 0 {
		s.left = slices.Clone(s.lane.kinds)
		s.rng.Shuffle(len(s.left), func(i, j int) { s.left[i], s.left[j] = s.left[j], s.left[i] })
	}
	p := plan{
		kind:     s.left[0],
		wait:     time.Duration((s.lane.min + s.rng.Float64()*(s.lane.max-s.lane.min)) * float64(time.Second)),
		election: s.rng.IntN(s.elections),
		pick:     s.rng.IntN(1 << 30),
		long:     s.rng.Float64(),
	}
	s.left = s.left[1:]
	return p
}
