package election

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	longSearch = flag.Bool("long", false, "search the large worlds too, for as long as it takes")
	onlySearch = flag.String("search", "", "search this world only")
	most       = flag.Int("most", 20_000, "give a search up after so many states; 0: go everywhere, which takes minutes, and look for the planted bugs")
)

// anything is every kind of fault but the passing of time.
var anything = []fault{stop, set, work, lose, twice, deny, slow, fresh, raft, crash, transfer, hand, foreign, resync, sweep}

// of allows so many faults of each kind. What was lost may always commit late, and who was stopped may enter early.
func of(n int8, kinds ...fault) map[fault]int8 {
	out := map[fault]int8{late: plenty, early: plenty}
	for _, f := range kinds {
		out[f] = n
	}
	return out
}

// searches are the worlds that are searched. In those of the middle nothing takes long enough to end a lease.
var searches = []config{
	{name: "two, a pause and any fault", procs: 2, entered: true, lag: atOnce, leap: ttl, ticks: 1, all: 1, of: of(1, anything...)},

	{name: "one, a pause and two faults", procs: 1, lag: 1, leap: ttl, ticks: 1, all: 2, of: of(1, lose, fresh, stop, sweep)},
	{name: "one and a stranger", procs: 1, entered: true, all: 4, of: of(1, hand, stop, lose, foreign)},
	{name: "two enter", procs: 2, all: 1, of: of(1, anything...)},
	{name: "two and any two faults", procs: 2, entered: true, all: 2, of: of(2, anything...)},
	{name: "two, stops, transfers and lost answers", procs: 2, entered: true, all: 3, of: of(1, transfer, stop, lose)},
	{name: "two, stops, new leases and lost answers", procs: 2, entered: true, all: 3, of: of(1, fresh, stop, lose)},
	{name: "two, stops, deletions by hand and sweeps", procs: 2, entered: true, all: 3, of: of(1, stop, hand, sweep)},
	{name: "two enter, and requests arrive twice", procs: 2, lag: 1, all: 2, of: of(1, twice, stop, hand, transfer)},
	{name: "two and their work", procs: 2, entered: true, guarded: true, all: 2, of: of(2, stop, work, transfer, hand)},
	{name: "three and any fault", procs: 3, entered: true, all: 1, of: of(1, anything...)},
	{name: "three and any two faults", procs: 3, entered: true, lag: 1, all: 2, of: of(1, anything...)},

	{name: "two, and etcd goes back", procs: 2, entered: true, lag: atOnce, leap: ttl, ticks: 1, all: 2, of: of(1, backUp, goBack)},

	{name: "one and its leases", procs: 1, entered: true, lag: 2, leap: 2 * ttl / 5, ticks: 3, all: 2, of: of(1, slow, raft, fresh, lose)},
	{name: "one and a new lease", procs: 1, entered: true, lag: 1, leap: ttl / 2, ticks: 2, all: 3, of: of(1, slow, raft, fresh)},
	{name: "two and slow renewals", procs: 2, entered: true, lag: atOnce, leap: ttl / 2, ticks: 2, all: 1, of: of(1, slow)},
	{name: "two, a pause, a new leader of etcd and a lost answer", procs: 2, entered: true, lag: atOnce, leap: ttl, ticks: 1, all: 2, of: of(1, raft, lose)},
}

// largeSearches are for those who have the time.
var largeSearches = []config{
	{name: "two and any three faults", procs: 2, entered: true, all: 3, of: of(2, anything...)},
	{name: "two enter, two faults", procs: 2, all: 2, of: of(1, anything...)},
	{name: "two, a pause and any fault, late watches", procs: 2, entered: true, leap: ttl, ticks: 1, all: 1, of: of(1, anything...)},
	{name: "two, a pause, a crash and a lost answer", procs: 2, entered: true, lag: atOnce, leap: ttl, ticks: 1, all: 2, of: of(1, crash, lose)},
	{name: "two, a pause, a new lease and a lost answer", procs: 2, entered: true, lag: atOnce, leap: ttl, ticks: 1, all: 2, of: of(1, fresh, lose)},
	{name: "two, new leaders of etcd and slow renewals", procs: 2, entered: true, lag: atOnce, leap: ttl / 2, ticks: 2, all: 2, of: of(1, slow, raft)},
	{name: "two and new leaders of etcd", procs: 2, entered: true, lag: 1, leap: ttl / 2, ticks: 2, all: 2, of: of(1, slow, raft)},
	{name: "two and new leases", procs: 2, entered: true, lag: 1, leap: ttl / 2, ticks: 2, all: 2, of: of(1, fresh, lose, slow)},
	{name: "three and any two faults, late watches", procs: 3, entered: true, all: 2, of: of(1, anything...)},
	{name: "three and a pause", procs: 3, entered: true, lag: 1, leap: ttl, ticks: 1},
}

// TestSearch visits every state of the worlds above, and holds each against all laws.
func TestSearch(t *testing.T) {
	all := searches
	if *longSearch || *onlySearch != "" {
		all = append(all[:len(all):len(all)], largeSearches...)
	}
	for _, c := range all {
		if *onlySearch != "" && *onlySearch != c.name {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if raceEnabled && c.name != "three and any fault" {
				t.Skip("too large for the race detector, and nothing in it happens at the same time")
			}
			s := search{config: c, most: *most}
			if testing.Short() {
				s.most = 2000
			}
			began := time.Now()
			broken := s.run()
			t.Logf("%s: %s in %v", c.name, s.seen(), time.Since(began).Round(10*time.Millisecond))
			if broken == full {
				t.Skipf("given up after %d states", s.states)
			}
			if broken != "" {
				t.Errorf("%s\nfound: %s\n%s", s.show(t, broken), broken, s.seen())
			}
		})
	}
}

// seen tells how much was searched.
func (s *search) seen() string {
	return fmt.Sprintf("%d states, %d edges, %d rests, %d deep", s.states, s.edges, s.rests, s.deepest)
}
