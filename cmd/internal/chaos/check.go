package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Violation is a promise that was seen to be broken.
type Violation struct {
	Promise  string        `json:"promise"`
	Election int           `json:"election"`
	At       time.Duration `json:"-"` // reading of the clock where it is known, 0 elsewhere
	Text     string        `json:"text"`
	Seconds  float64       `json:"at_seconds,omitempty"` // since the beginning
}

// The promises.
const (
	oneLeader     = "one leader at a time"
	inTime        = "belief ends before the term"
	tokensGrow    = "tokens grow"
	noPhantom     = "a leader is one that etcd knows"
	oneValue      = "one value at each revision"
	firstServed   = "first come, first served"
	noGap         = "no gap when a leader leaves"
	fencedWrites  = "fenced writes"
	linearizable  = "linearizable"
	leaderInTime  = "a leader in time"
	recovers      = "everything comes back"
	unchecked     = "unknown"        // no promise: whether it is linearizable could not be found out
	checkingLimit = 20 * time.Second // of Porcupine, for each election
)

// check looks for every promise that was broken, of the system with that protocol.
func (h *History) check(p protocol) []Violation {
	found := checkOverlaps(h)
	found = append(found, checkTokens(h)...)
	found = append(found, checkOutlived(h, p)...)
	found = append(found, checkKeys(h, p)...)
	found = append(found, checkBeliefs(h, p)...)
	found = append(found, checkAcknowledged(h)...)
	found = append(found, checkGaps(h, p)...)
	found = append(found, checkCalms(h)...)
	return h.inOrder(append(found, checkLinearizable(h)...))
}

// checkEarly is the part of check that needs no whole history.
func (h *History) checkEarly(p protocol) []Violation {
	found := checkOverlaps(h)
	found = append(found, checkTokens(h)...)
	found = append(found, checkOutlived(h, p)...)
	found = append(found, checkKeys(h, p)...)
	return h.inOrder(append(found, checkGaps(h, p)...))
}

func (h *History) inOrder(found []Violation) []Violation {
	for i := range found {
		if found[i].At != 0 {
			found[i].Seconds = (found[i].At - h.Begin).Seconds()
		}
	}
	known := func(v Violation) int { return cmp.Compare(0, v.At) } // those whose moment is not known come last
	slices.SortStableFunc(found, func(a, b Violation) int { return cmp.Or(cmp.Compare(known(a), known(b)), cmp.Compare(a.At, b.At)) })
	return found
}

// brief is a time as people want to read it.
func brief(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}

// beliefsOf gives those of one election in the order in which they began.
func (h *History) beliefsOf(election int) (list []Belief) {
	for _, b := range h.Beliefs {
		if b.Election == election {
			list = append(list, b)
		}
	}
	slices.SortStableFunc(list, func(a, b Belief) int { return cmp.Compare(a.First, b.First) })
	return list
}

// Overlap is a time in which two believed to lead.
type Overlap struct {
	Election int
	From, To time.Duration
	One, Two Belief
}

// overlaps finds all of them. Of each belief only the time counts that is certain.
func (h *History) overlaps() (found []Overlap) {
	for e := range h.Elections {
		var open []Belief // those before that may not be over
		for _, b := range h.beliefsOf(e) {
			open = slices.DeleteFunc(open, func(a Belief) bool { return a.Last <= b.First })
			if b.Last <= b.First {
				continue // it was seen for an instant only
			}
			for _, a := range open {
				if a.Who != b.Who {
					found = append(found, Overlap{e, b.First, min(a.Last, b.Last), a, b})
				}
			}
			open = append(open, b)
		}
	}
	return found
}

func checkOverlaps(h *History) (found []Violation) {
	for _, o := range h.overlaps() {
		found = append(found, Violation{Promise: oneLeader, Election: o.Election, At: o.From, Text: fmt.Sprintf(
			"%s (token %d) and %s (token %d) both believed to lead, for %v",
			o.One.Who, o.One.Token, o.Two.Who, o.Two.Token, brief(o.To-o.From))})
	}
	return found
}

// checkOutlived finds somebody who believed in a term that etcd had ended already, or would have if he had heard nothing
// more of etcd: from then on the next one could have been elected at any moment. Who left on purpose had stopped believing.
func checkOutlived(h *History, p protocol) (found []Violation) {
	type ended struct {
		at       time.Duration
		revision int64
	}
	ends := make([]map[int64]ended, h.Elections)
	for e := range ends {
		ends[e] = map[int64]ended{}
	}
	h.walk(func(r *replay) {
		for e, before := range r.before {
			path := electionPath(h.Prefix, e)
			if token := p.inForce(path, before); token != 0 && p.inForce(path, r.keys[e]) != token {
				ends[e][token] = ended{r.changed[0].Seen, r.revision}
			}
		}
	})
	for _, b := range h.Beliefs {
		end, ok := ends[b.Election][b.Token]
		until, how := b.Last, "believed"
		// Who is told to leave at the end, and is elected just then, leaves without a word of why.
		leaving := b.Cause == "" && h.End != 0 && b.Last >= h.End
		if b.Lost() && !leaving && b.Last <= end.at {
			until, how = b.Until, "would, cut off, have believed"
		}
		if ok && until > end.at {
			found = append(found, Violation{Promise: inTime, Election: b.Election, At: end.at, Text: fmt.Sprintf(
				"%s %s in its term with token %d for %v after it was seen to have ended, at revision %d",
				b.Who, how, b.Token, brief(until-end.at), end.revision)})
		}
	}
	return found
}

// checkTokens finds a term that began later than one with a larger token, or has the same one.
func checkTokens(h *History) (found []Violation) {
	for e := range h.Elections {
		var last Belief
		for _, b := range h.beliefsOf(e) {
			if b.Token <= last.Token {
				found = append(found, Violation{Promise: tokensGrow, Election: e, At: b.First, Text: fmt.Sprintf(
					"%s led with token %d after %s with %d", b.Who, b.Token, last.Who, last.Token)})
			}
			if b.Token > last.Token {
				last = b
			}
		}
	}
	return found
}

// checkAcknowledged finds writes that etcd's history shows otherwise than they were answered.
func checkAcknowledged(h *History) (found []Violation) {
	committed := h.registers()
	for _, w := range h.Writes {
		revision, there := committed[w.Election][w.Value]
		switch {
		case w.Outcome == Acknowledged && !there:
			found = append(found, Violation{Promise: fencedWrites, Election: w.Election, At: w.Return, Text: fmt.Sprintf(
				"write %d of %s with token %d was acknowledged at revision %d, and is not there", w.Value.Seq, w.Value.Who, w.Value.Token, w.Revision)})
		case w.Outcome == Acknowledged && revision != w.Revision:
			found = append(found, Violation{Promise: fencedWrites, Election: w.Election, At: w.Return, Text: fmt.Sprintf(
				"write %d of %s was acknowledged at revision %d, and is at %d", w.Value.Seq, w.Value.Who, w.Revision, revision)})
		case w.Outcome == Refused && there:
			found = append(found, Violation{Promise: fencedWrites, Election: w.Election, At: w.Return, Text: fmt.Sprintf(
				"write %d of %s with token %d was refused, and is there at revision %d", w.Value.Seq, w.Value.Who, w.Value.Token, revision)})
		}
	}
	return found
}

// checkCalms finds times without faults that did not bring each election a leader.
func checkCalms(h *History) (found []Violation) {
	for _, c := range h.Calms {
		if c.All != 0 {
			continue
		}
		for _, e := range c.Waiting {
			found = append(found, Violation{Promise: recovers, Election: e, At: c.End, Text: fmt.Sprintf("no leader %v after all faults were healed", brief(c.End-c.Begin))})
		}
	}
	return found
}
