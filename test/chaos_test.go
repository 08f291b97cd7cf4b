package test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/samcday/locked/test/sim"
)

// inArenas are elections under faults that differ in their TTL and their number of members.
func inArenas(t *testing.T, n int, f func(a *sim.Arena)) {
	if testing.Short() {
		n = 1
	}
	for round := range n {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			sim.InArena(t, time.Duration(3+round%3)*time.Second, 2+round%3, f)
		})
	}
}

// All laws at once, under faults of every kind.
func TestLawsUnderFaults(t *testing.T) {
	t.Parallel()
	inArenas(t, length(8, 2), func(a *sim.Arena) { a.UnderFaults(sim.Faults, 150) })
}

// The lease of a leader is revoked by hand, too. Then two may believe to lead: that is the one thing that is given up.
func TestLawsUnderRevocations(t *testing.T) {
	t.Parallel()
	notShort(t)
	revoked := sim.Fault{Name: "lease revoked", Do: func(a *sim.Arena, m *sim.Member) {
		if a.Rand().IntN(2) == 0 {
			m.Link.CutDown() // it does not hear of it
		}
		a.RevokeLease(m)
		a.Pause(2)
		m.Link.Heal()
	}}
	all := slices.Concat(sim.Faults, slices.Repeat([]sim.Fault{revoked}, len(sim.Faults)))
	inArenas(t, length(4, 1), func(a *sim.Arena) {
		a.MayOverlap()
		a.UnderFaults(all, 150)
		overlaps := a.Beliefs.Overlaps()
		a.T.Logf("%d overlaps", overlaps)
		if overlaps == 0 {
			a.T.Error("no leader's lease was revoked to any effect")
		}
	})
}
