package test

import (
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/test/sim"
)

// A deselect that is noticed late tells when the belief had ended: by the events alone no two terms overlap.
func TestDeselectTellsWhenBeliefEnded(t *testing.T) {
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		for range 20 {
			m := a.AwaitLeader()
			token, going := m.Node.Token(), make(chan struct{})
			stops := time.Duration(a.Rand().Int64N(int64(3 * a.TTL)))
			m.Loop(func() {
				time.Sleep(stops)
				close(going)
			})
			var ended time.Time
			for over := false; !over; {
				select {
				case <-going:
					over = true
				case <-time.After(time.Millisecond):
				}
				if ended.IsZero() && !m.Node.IsSelected() {
					ended = time.Now()
					a.Beliefs.Lose(m.Name)
				}
			}
			if ended.IsZero() {
				continue // it was held up for less than its lease
			}
			a.Await("it tells", func() bool { return endOf(m, token).Token != 0 })
			if late := endOf(m, token).At.Sub(ended); late.Abs() > 5*time.Millisecond {
				a.T.Errorf("held up for %v: a deselect tells of %v after the end of the belief", stops, late)
			}
			a.AwaitSettled()
		}
		noOverlapByEvents(a)
	})
}

// endOf is the event that tells of the end of a term.
func endOf(m *sim.Member, token int64) (end locked.Event) {
	for _, e := range m.Heard() {
		if e.Kind == locked.EventDeselect && e.Token == token {
			end = e
		}
	}
	return end
}

// noOverlapByEvents checks that the terms that the members' events tell of are apart.
func noOverlapByEvents(a *sim.Arena) {
	type term struct{ from, to time.Time }
	var terms []term
	for _, m := range a.Members {
		var began time.Time
		for _, e := range m.Heard() {
			switch e.Kind {
			case locked.EventSelect:
				began = e.At
			case locked.EventDeselect:
				terms = append(terms, term{began, e.At})
			}
		}
	}
	for i, one := range terms {
		for _, other := range terms[:i] {
			if one.from.Before(other.to) && other.from.Before(one.to) {
				a.T.Errorf("terms overlap by their events: %v and %v", one, other)
			}
		}
	}
}
