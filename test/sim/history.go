package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname
)

// Belief is a span of simulated time in which who took itself for the leader.
type Belief struct {
	Who      string
	Token    int64
	From, To time.Duration
}

func (b Belief) String() string {
	return fmt.Sprintf("%s (token %d, %v to %v)", b.Who, b.Token, b.From, b.To)
}

// History is what was believed about one lock. It is checked when the simulation ends.
type History struct {
	sim  *Sim
	name string
	mu   sync.Mutex
	past []Belief
	open map[string]Belief
}

// History is a new one.
func (s *Sim) History(name string) *History {
	h := s.UncheckedHistory(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories = append(s.histories, h)
	return h
}

// UncheckedHistory is one whose violations are no failures.
func (s *Sim) UncheckedHistory(name string) *History {
	return &History{sim: s, name: name, open: map[string]Belief{}}
}

// Gain notes that who believes to lead from now on, Lose that it no longer does.
func (h *History) Gain(who string, token int64) {
	h.Lose(who)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[who] = Belief{Who: who, Token: token, From: h.sim.Now()}
}

// Lose notes that who does not believe to lead any more, if it did.
func (h *History) Lose(who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.open[who]; ok {
		delete(h.open, who)
		b.To = h.sim.Now()
		h.past = append(h.past, b)
	}
}

// Add notes a belief whose span the caller knows: say, up to a deadline.
func (h *History) Add(b Belief) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = append(h.past, b)
}

// Beliefs returns all beliefs by their start. Those still held end now.
func (h *History) Beliefs() []Belief {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.past)
	for _, b := range h.open {
		b.To = h.sim.Now()
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Belief) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Token, b.Token))
	})
	return all
}

// Violations names every belief that began before an earlier one ended, and
// every token that did not grow. Beliefs may touch: much happens in one instant.
func (h *History) Violations() []string {
	var found []string
	var longest, highest Belief // of the earlier ones: ends last, has the highest token
	for i, b := range h.Beliefs() {
		if i > 0 && longest.To > b.From {
			found = append(found, fmt.Sprintf("%s: two leaders: %v and %v", h.name, longest, b))
		}
		if i > 0 && highest.Token >= b.Token {
			found = append(found, fmt.Sprintf("%s: token does not grow: %v, then %v", h.name, highest, b))
		}
		if i == 0 || b.To > longest.To {
			longest = b
		}
		if i == 0 || b.Token > highest.Token {
			highest = b
		}
	}
	return found
}

// forget drops the beliefs that have ended, but for the last one, after a look for violations.
func (h *History) forget() {
	h.sim.T.Helper()
	for _, v := range h.Violations() {
		h.sim.T.Error(v)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = slices.Clone(h.past[max(0, len(h.past)-1):])
}

// Overlaps counts the beliefs that began before an earlier one had ended.
func (h *History) Overlaps() (n int) {
	for _, v := range h.Violations() {
		if strings.Contains(v, "two leaders") {
			n++
		}
	}
	return n
}
