package test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname
)

// leaderBelief is a span of simulated time in which who took itself for the leader.
type leaderBelief struct {
	who      string
	token    int64
	from, to time.Duration
}

func (b leaderBelief) String() string {
	return fmt.Sprintf("%s (token %d, %v to %v)", b.who, b.token, b.from, b.to)
}

// leaderHistory is what was believed about one lock. It is checked when the simulation ends.
type leaderHistory struct {
	sim  *sim
	name string
	mu   sync.Mutex
	past []leaderBelief
	open map[string]leaderBelief
}

func (s *sim) history(name string) *leaderHistory {
	h := s.uncheckedHistory(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories = append(s.histories, h)
	return h
}

// uncheckedHistory is one whose violations are no failures.
func (s *sim) uncheckedHistory(name string) *leaderHistory {
	return &leaderHistory{sim: s, name: name, open: map[string]leaderBelief{}}
}

// gain notes that who believes to lead from now on, lose that it no longer does.
func (h *leaderHistory) gain(who string, token int64) {
	h.lose(who)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[who] = leaderBelief{who: who, token: token, from: h.sim.now()}
}

func (h *leaderHistory) lose(who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.open[who]; ok {
		delete(h.open, who)
		b.to = h.sim.now()
		h.past = append(h.past, b)
	}
}

// add notes a belief whose span the caller knows: say, up to a deadline.
func (h *leaderHistory) add(b leaderBelief) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = append(h.past, b)
}

// beliefs returns all beliefs by their start. Those still held end now.
func (h *leaderHistory) beliefs() []leaderBelief {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.past)
	for _, b := range h.open {
		b.to = h.sim.now()
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b leaderBelief) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.token, b.token))
	})
	return all
}

// violations names every belief that began before an earlier one ended, and
// every token that did not grow. Beliefs may touch: much happens in one instant.
func (h *leaderHistory) violations() []string {
	var found []string
	var longest, highest leaderBelief // of the earlier ones: ends last, has the highest token
	for i, b := range h.beliefs() {
		if i > 0 && longest.to > b.from {
			found = append(found, fmt.Sprintf("%s: two leaders: %v and %v", h.name, longest, b))
		}
		if i > 0 && highest.token >= b.token {
			found = append(found, fmt.Sprintf("%s: token does not grow: %v, then %v", h.name, highest, b))
		}
		if i == 0 || b.to > longest.to {
			longest = b
		}
		if i == 0 || b.token > highest.token {
			highest = b
		}
	}
	return found
}

// overlaps counts the beliefs that began before an earlier one had ended.
func (h *leaderHistory) overlaps() (n int) {
	for _, v := range h.violations() {
		if strings.Contains(v, "two leaders") {
			n++
		}
	}
	return n
}
