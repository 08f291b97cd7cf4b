package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Parts of the bounds. Etcd's members have its default timing.
const (
	expiryScan      = 500 * time.Millisecond // how often etcd looks for leases that have ended
	electionTimeout = time.Second            // of etcd
	slack           = 2 * time.Second        // for a busy machine
)

// Bound is how long at a stretch an election may be without a leader while etcd serves and whoever is in turn, since it
// has the term or is next in line, does not suffer: until a request that was lost is given up and made again, twice. The
// candidates give a request a TTL. When etcd fails again meanwhile, that begins anew.
func Bound(ttl time.Duration) time.Duration { return 2*ttl + slack }

// Wake is how long a candidate suffers from a fault after it was healed: its lease, if it lost its term, lives on for a
// TTL until etcd notices. Each change of etcd's leader in that time gives the lease its full time again, after an election
// timeout.
func Wake(ttl time.Duration) time.Duration { return ttl + electionTimeout + expiryScan }

// Calm is how long after the end of all faults each election has a leader again: etcd may have to elect one first.
func Calm(ttl time.Duration) time.Duration { return Bound(ttl) + Wake(ttl) + 2*electionTimeout }

// span is a stretch of time.
type span struct{ from, to time.Duration }

func (s span) length() time.Duration { return max(0, s.to-s.from) }

// Gap is a time in which nobody believed to lead an election.
type Gap struct {
	Election  int
	From, To  time.Duration
	Inexcused time.Duration // the longest part in which etcd served, and whoever was in turn did not suffer
}

// gaps finds all times without a leader, longest first.
func (h *History) gaps(p protocol) []Gap {
	turns, down, suffering := h.turns(p), h.down(), h.suffering()
	var list []Gap
	for e := range h.Elections {
		covered := h.Begin
		note := func(until time.Duration) {
			if until <= covered {
				return
			}
			g := Gap{Election: e, From: covered, To: until}
			excused := clip(down, span{g.From, g.To})
			for _, t := range turns[e] {
				name, _, _ := strings.Cut(t.who, ".")
				part := span{max(t.from, g.From), min(t.to, g.To)}
				if part.length() > 0 {
					excused = append(excused, clip(suffering[name], part)...)
				}
			}
			g.Inexcused = longestRest(span{g.From, g.To}, excused)
			list = append(list, g)
		}
		for _, b := range h.beliefsOf(e) {
			note(min(b.First, h.End))
			covered = max(covered, b.Last)
		}
		note(h.End)
	}
	slices.SortStableFunc(list, func(a, b Gap) int { return cmp.Compare(b.To-b.From, a.To-a.From) })
	return list
}

// suffering gives when each candidate suffered: from a fault made to it, or to the only member that it knows, and from
// its wake.
func (h *History) suffering() map[string][]span {
	all := map[string][]span{}
	for _, f := range h.Faults {
		if f.Candidate != "" {
			all[f.Candidate] = append(all[f.Candidate], h.wake(f))
		}
		for name, known := range h.Pinned {
			if slices.Equal(known, []int{f.Member}) {
				all[name] = append(all[name], h.wake(f))
			}
		}
	}
	return all
}

func (h *History) wake(f Fault) span {
	end := f.End
	if end == 0 {
		end = h.End // it goes on
	}
	end += Wake(h.TTL)
	for _, l := range h.Leaders {
		if l.At > f.Begin && l.At < end {
			end = max(end, l.At+Wake(h.TTL))
		}
	}
	return span{f.Begin, end}
}

// down gives when fewer than a majority of the members answered.
func (h *History) down() (spans []span) {
	type edge struct {
		at    time.Duration
		delta int
	}
	size := 0
	var edges []edge
	for _, p := range h.Probes {
		size = max(size, p.Member)
		edges = append(edges, edge{p.From, 1}, edge{p.To, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	up, since := 0, h.Begin
	for _, e := range edges {
		was := up > size/2
		up += e.delta
		switch is := up > size/2; {
		case is && !was:
			spans = append(spans, span{since, e.at})
		case was && !is:
			since = e.at
		}
	}
	if up <= size/2 {
		spans = append(spans, span{since, h.End})
	}
	return spans
}

// turn is a time in which it is on one candidate that there is a leader: it has the term, or is next in line.
type turn struct {
	span
	who string
}

func (h *History) turns(p protocol) [][]turn {
	all := make([][]turn, h.Elections)
	h.walk(func(r *replay) {
		at := r.changed[0].Seen
		for e := range r.before {
			path := electionPath(h.Prefix, e)
			who := p.owner(path, r.keys[e], p.inForce(path, r.keys[e]))
			if who == "" {
				who = p.next(path, r.keys[e])
			}
			if n := len(all[e]); n > 0 {
				all[e][n-1].to = at
			}
			all[e] = append(all[e], turn{span{at, h.End}, who})
		}
	})
	return all
}

// clip gives the parts of spans that lie within another.
func clip(spans []span, within span) (parts []span) {
	for _, s := range spans {
		part := span{max(s.from, within.from), min(s.to, within.to)}
		if part.length() > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// longestRest gives the longest part of a span that none of others covers.
func longestRest(of span, others []span) (longest time.Duration) {
	slices.SortFunc(others, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	covered := of.from
	for _, s := range append(others, span{of.to, of.to}) {
		longest = max(longest, s.from-covered)
		covered = max(covered, s.to)
	}
	return longest
}

// checkGaps finds elections that had no leader for too long.
func checkGaps(h *History, p protocol) (found []Violation) {
	for _, g := range h.gaps(p) {
		if g.Inexcused > Bound(h.TTL) {
			found = append(found, Violation{Promise: leaderInTime, Election: g.Election, At: g.From, Text: fmt.Sprintf(
				"nobody led for %v, %v of it at a stretch while etcd served and whoever was in turn did not suffer from a fault; the bound is %v",
				brief(g.To-g.From), brief(g.Inexcused), Bound(h.TTL))})
		}
	}
	return found
}
