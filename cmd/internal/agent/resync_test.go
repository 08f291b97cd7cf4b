package agent

import (
	"testing"
	"time"

	"github.com/samcday/locked/internal/election"
)

// What happened while etcd was out of sight is not told as if it had been seen: a crash must not look like a handover.
func TestMirrorOutOfSight(t *testing.T) {
	m := newMirror(nil, "/")
	term := func(nonce string, revision int64) election.Change {
		return election.Change{
			Name: election.TermPrefix("/web") + nonce,
			Key:  election.Key{Data: election.Join(nonce, ""), Create: revision, Mod: revision},
		}
	}
	all := func(changes ...election.Change) map[string][]election.Change {
		return map[string][]election.Change{"/web": changes}
	}
	want := func(what string, terms int, since, gap bool) {
		t.Helper()
		s := m.elections["/web"].state("/web")
		if s.Terms != terms || (s.Since != nil) != since || (s.GapMS != nil) != gap {
			t.Errorf("%s: %d terms, since %v, gap %v; want %d, %v, %v", what, s.Terms, s.Since, s.GapMS, terms, since, gap)
		}
	}
	m.replace(t.Context(), 5, all(term("a", 5)))
	want("before it looked", 1, false, false)
	gone := term("a", 5)
	gone.Deletion = true
	m.apply(t.Context(), 6, all(gone, term("b", 6)))
	want("a handover in sight", 2, true, true)
	m.replace(t.Context(), 9, all(term("c", 8)))
	want("another one after etcd was out of sight", 3, false, false)
	m.replace(t.Context(), 10, nil)
	m.apply(t.Context(), 11, all(term("d", 11)))
	want("nobody after etcd was out of sight, then one", 4, true, false)
}

// A term that lasted while nothing was seen may have had no leader at its end, though one revision ended it and began the next:
// no gap is claimed then, but how long nothing was seen. One that was seen to last on is told of as any other.
func TestMirrorDoubts(t *testing.T) {
	for name, tt := range map[string]struct {
		blind  time.Duration // nothing is seen for so long
		vacant time.Duration // then, before the next term, nobody leads for so long
		after  time.Duration // from when all is seen again until the term ends
		unseen time.Duration
		anew   bool // the watch has broken, and everything is read again
	}{
		"etcd was down":                   {blind: 8 * time.Second, anew: true, after: 300 * time.Millisecond, unseen: 8 * time.Second},
		"the agent was stopped":           {blind: 50 * time.Second, vacant: 17 * time.Millisecond, unseen: 50 * time.Second},
		"the agent was stopped, one step": {blind: 50 * time.Second, unseen: 50 * time.Second},
		"the watch broke":                 {blind: time.Second, anew: true, after: 5 * time.Second, unseen: time.Second},
		"nothing was wrong":               {after: time.Second},
		"an hour later":                   {blind: 8 * time.Second, anew: true, after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Hour
			m := newMirror(nil, "/")
			m.sight.now = func() time.Duration { return now }
			key := func(nonce string, revision int64, deletion bool) election.Change {
				return election.Change{
					Name: election.TermPrefix("/web") + nonce, Deletion: deletion,
					Key: election.Key{Data: election.Join(nonce, ""), Create: revision, Mod: revision},
				}
			}
			all := func(changes ...election.Change) map[string][]election.Change {
				return map[string][]election.Change{"/web": changes}
			}
			watches := func(d time.Duration) {
				for end := now + d; now < end; now += min(beatEvery, end-now) {
					m.reached(t.Context(), 0, nil)
				}
			}
			m.replace(t.Context(), 1, nil)
			m.apply(t.Context(), 5, all(key("a", 5, false)))
			watches(time.Minute)
			now += tt.blind
			if tt.anew {
				m.replace(t.Context(), 5, all(key("a", 5, false)))
			}
			watches(tt.after)
			if tt.vacant > 0 {
				m.apply(t.Context(), 6, all(key("a", 5, true)))
				now += tt.vacant
				m.apply(t.Context(), 7, all(key("b", 7, false)))
			} else {
				m.apply(t.Context(), 7, all(key("a", 5, true), key("b", 7, false)))
			}
			s := m.elections["/web"].state("/web")
			switch {
			case tt.unseen == 0 && (s.GapMS == nil || *s.GapMS != 0 || s.UnseenMS != nil):
				t.Errorf("gap %v, unseen %v; want no gap", s.GapMS, s.UnseenMS)
			case tt.unseen != 0 && (s.GapMS != nil || s.UnseenMS == nil):
				t.Errorf("gap %v, unseen %v; want unseen for %v", s.GapMS, s.UnseenMS, tt.unseen)
			case tt.unseen != 0 && max(*s.UnseenMS-float64(tt.unseen.Milliseconds()), float64(tt.unseen.Milliseconds())-*s.UnseenMS) > 2001:
				t.Errorf("unseen for %v ms, want %v", *s.UnseenMS, tt.unseen)
			}
			watches(5 * time.Minute) // from then on all is seen
			m.apply(t.Context(), 9, all(key("b", 7, true), key("c", 9, false)))
			if s := m.elections["/web"].state("/web"); s.GapMS == nil || *s.GapMS != 0 {
				t.Errorf("a handover in sight, later: gap %v, unseen %v", s.GapMS, s.UnseenMS)
			}
		})
	}
}
