package test

import (
	"testing"
	"time"

	"github.com/samcday/locked"
)

// A deselect that is noticed late tells when the belief had ended: by the events alone no two terms overlap.
func TestDeselectTellsWhenBeliefEnded(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		a.startAll()
		for range 20 {
			m := a.awaitLeader()
			token, going := m.node.Token(), make(chan struct{})
			stops := time.Duration(a.rand().Int64N(int64(3 * a.ttl)))
			m.loop(func() {
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
				if ended.IsZero() && !m.node.IsSelected() {
					ended = time.Now()
					a.beliefs.lose(m.name)
				}
			}
			if ended.IsZero() {
				continue // it was held up for less than its lease
			}
			a.await("it tells", func() bool { return m.endOf(token).Token != 0 })
			if late := m.endOf(token).At.Sub(ended); late.Abs() > 5*time.Millisecond {
				a.t.Errorf("held up for %v: a deselect tells of %v after the end of the belief", stops, late)
			}
			a.settled()
		}
		a.noOverlapByEvents()
	})
}

// endOf is the event that tells of the end of a term.
func (m *member) endOf(token int64) (end locked.Event) {
	for _, e := range m.heard() {
		if e.Kind == locked.EventDeselect && e.Token == token {
			end = e
		}
	}
	return end
}

// noOverlapByEvents checks that the terms that the members' events tell of are apart.
func (a *arena) noOverlapByEvents() {
	type term struct{ from, to time.Time }
	var terms []term
	for _, m := range a.members {
		var began time.Time
		for _, e := range m.heard() {
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
				a.t.Errorf("terms overlap by their events: %v and %v", one, other)
			}
		}
	}
}
