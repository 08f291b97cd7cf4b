package agent

import (
	"testing"

	"github.com/samcday/locked/cmd/internal/elections"
	"github.com/samcday/locked/internal/election"
)

// What happened while etcd was out of sight is not told as if it had been seen: a crash must not look like a handover.
func TestCacheOutOfSight(t *testing.T) {
	m := newCache(nil, "/")
	term := func(nonce string, revision int64) election.Change {
		return election.Change{
			Name: election.TermPrefix("/web") + nonce,
			Key:  election.Key{Data: election.Join(nonce, ""), Create: revision, Mod: revision},
		}
	}
	all := func(changes ...election.Change) elections.Changes {
		return elections.Changes{"/web": changes}
	}
	want := func(what string, terms int, since, gap bool) {
		t.Helper()
		s := m.elections["/web"].state("/web")
		if s.Terms != terms || (s.Since != nil) != since || (s.GapMS != nil) != gap {
			t.Errorf("%s: %d terms, since %v, gap %v; want %d, %v, %v", what, s.Terms, s.Since, s.GapMS, terms, since, gap)
		}
	}
	m.Reset(t.Context(), 5, all(term("a", 5)))
	want("before it looked", 1, false, false)
	gone := term("a", 5)
	gone.Deletion = true
	m.Apply(t.Context(), 6, all(gone, term("b", 6)))
	want("a handover in sight", 2, true, true)
	m.Reset(t.Context(), 9, all(term("c", 8)))
	want("another one after etcd was out of sight", 3, false, false)
	m.Reset(t.Context(), 10, nil)
	m.Apply(t.Context(), 11, all(term("d", 11)))
	want("nobody after etcd was out of sight, then one", 4, true, false)
}
