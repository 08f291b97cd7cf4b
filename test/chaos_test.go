package test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// inArenas are elections under faults that differ in their TTL and their number of members.
func inArenas(t *testing.T, n int, f func(a *arena)) {
	switch {
	case testing.Short():
		n = 1
	case raceEnabled: // half: the whole of it is a command of its own
		n /= 2
	}
	for round := range n {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			inArena(t, time.Duration(3+round%3)*time.Second, 2+round%3, f)
		})
	}
}

// All laws at once, under faults of every kind.
func TestLawsUnderFaults(t *testing.T) {
	inArenas(t, 8, func(a *arena) { a.underFaults(faults, 150) })
}

// The lease of a leader is revoked by hand, too. Then two may believe to lead: that is the one thing that is given up.
func TestLawsUnderRevocations(t *testing.T) {
	revoked := fault{"lease revoked", func(a *arena, m *member) {
		if a.rand().IntN(2) == 0 {
			m.link.cutDown() // it does not hear of it
		}
		a.revokeLease(m)
		a.sleep(2)
		m.link.heal()
	}}
	all := slices.Concat(faults, slices.Repeat([]fault{revoked}, len(faults)))
	inArenas(t, 4, func(a *arena) {
		a.mayOverlap()
		a.underFaults(all, 150)
		overlaps := a.beliefs.overlaps()
		a.t.Logf("%d overlaps", overlaps)
		if overlaps == 0 {
			a.t.Error("no leader's lease was revoked to any effect")
		}
	})
}
