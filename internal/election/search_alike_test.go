package election

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
)

// alike holds that states which are taken for one go on alike. Of the states that a search comes to once more it looks at
// some: what may happen next must be what might have happened the first time.
type alike struct {
	every  int // as many as it looks at one of
	looked int
	next   map[fingerprint]fingerprint // what may happen next in a state, as seen the first time
	packer packer
	spare  world
	luck   odometer
	least  []byte
	found  []fingerprint
}

// orders are all that up to three processes can be in.
var orders = [][][]int{1: {{0}}, 2: {{0, 1}, {1, 0}}, 3: {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}}

// fingerprint is the same for all states that differ in names alone: it tries every order of the processes.
func (a *alike) fingerprint(w *world) fingerprint {
	for i, as := range orders[len(w.procs)] {
		a.packer.as = as
		if a.packer.pack(w); i == 0 || bytes.Compare(a.packer.buf, a.least) < 0 {
			a.least = append(a.least[:0], a.packer.buf...)
		}
	}
	return hash(a.least)
}

// after stands for all that the world may be after one more move. To list a lease that nothing is on is not counted, as it
// comes to nothing, nor is a move that changes nothing.
func (a *alike) after(w *world) fingerprint {
	is := a.fingerprint(w)
	a.found = a.found[:0]
	for _, m := range moves {
		for _, p := range w.procs {
			if m.name != "list" && (!m.world || p.slot() == 0) {
				a.make(w, m, p.slot())
			}
		}
	}
	slices.SortFunc(a.found, func(x, y fingerprint) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) })
	sum := fingerprint{}
	for _, f := range slices.Compact(a.found) {
		if f != is {
			sum.a, sum.b = sum.a*31+f.a, sum.b*37+f.b
		}
	}
	return sum
}

// make makes a move with every luck.
func (a *alike) make(w *world, m move, slot int) {
	a.luck.reset()
	for more := true; more; more = a.luck.next() {
		w.clone(&a.spare)
		a.spare.luck = &a.luck
		if a.spare.make(m, a.spare.procs[slot]) {
			a.found = append(a.found, a.fingerprint(&a.spare))
		}
	}
}

// came is told of each edge of a search.
func (a *alike) came(w *world, is fingerprint, edge int) {
	switch was, again := a.next[is]; {
	case !again:
		a.next[is] = a.after(w)
	case edge%a.every == 0:
		if a.looked++; a.after(w) != was {
			panic(violation{"two states that are taken for one go on differently"})
		}
	}
}

// TestAlike holds that no more is left out of a packed world than may be.
func TestAlike(t *testing.T) {
	if raceEnabled {
		t.Skip("too large for the race detector, and nothing in it happens at the same time")
	}
	for _, c := range searches {
		if *onlySearch != "" && *onlySearch != c.name {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := &alike{every: 20, next: map[fingerprint]fingerprint{}}
			s := search{config: c, most: 5000, came: a.came}
			if testing.Short() {
				s.most = 1000
			}
			broken := s.run()
			t.Logf("%s: %s; %d states looked at once more", c.name, s.seen(), a.looked)
			if broken != "" && broken != full {
				t.Errorf("%s\nfound: %s", s.show(t, broken), broken)
			}
		})
	}
}
