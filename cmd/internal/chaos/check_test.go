package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const s = time.Second

// sound gives the history of one election in which a leads, hands over to b, and b's lease ends: nothing is wrong with it.
func sound() *History {
	h := &History{Prefix: "/p/", Elections: 1, TTL: 2 * s, Begin: 100 * s, End: 110 * s}
	h.put(1, "e0", "a.1:::v", 1, 101*s)
	h.put(1, "e0:::term/x", "a.1:::v", 1, 101*s)
	h.put(2, "e0:::queue/y", "b.1:::v", 2, 101*s)
	h.write("a.1", 1, 1, 3, 102*s, Acknowledged)
	h.put(4, "e0", "b.1:::v", 2, 104*s)
	h.put(4, "e0:::term/y", "b.1:::v", 2, 104*s)
	h.del(4, "e0:::term/x", 104*s)
	h.del(4, "e0:::queue/y", 104*s)
	h.write("b.1", 4, 1, 5, 105*s, Acknowledged)
	h.put(6, "e0:::queue/z", "c.1:::v", 3, 105*s)
	h.write("a.1", 1, 2, 0, 106*s, Refused)
	h.del(7, "e0", 108*s)
	h.del(7, "e0:::term/y", 108*s)
	h.put(8, "e0", "c.1:::v", 3, 108*s)
	h.put(8, "e0:::term/z", "c.1:::v", 3, 108*s)
	h.del(8, "e0:::queue/z", 108*s)
	h.Beliefs = []Belief{
		{Who: "a.1", Token: 1, Asked: 100 * s, First: 101 * s, Last: 103 * s, Ended: 103*s + 1, Cause: causeStopped},
		{Who: "b.1", Token: 4, Asked: 103 * s, First: 104 * s, Last: 107 * s, Ended: 107*s + 1, Cause: causeLost},
		{Who: "c.1", Token: 8, Asked: 107 * s, First: 108 * s, Last: 110 * s},
	}
	h.Reads = []Read{
		{Call: 102*s + 2, Return: 102*s + 3, Revision: 3, Value: Value{Who: "a.1", Token: 1, Seq: 1, Call: 102 * s}},
		{Call: 107 * s, Return: 107*s + 1, Revision: 5, Value: Value{Who: "b.1", Token: 4, Seq: 1, Call: 105 * s}},
	}
	h.Probes = []Probe{{1, 100 * s, 110 * s}, {2, 100 * s, 110 * s}, {3, 100 * s, 103 * s}}
	h.Calms = []Calmed{{Begin: 108 * s, End: 109 * s, All: 109 * s}}
	return h
}

func (h *History) put(revision int64, key, value string, lease int64, seen time.Duration) {
	c := Change{Revision: revision, Create: revision, Key: h.Prefix + key, Value: value, Lease: lease, Seen: seen}
	for _, old := range h.Changes {
		if old.Key == c.Key {
			c.Create = old.Create
			if old.Deleted {
				c.Create = revision
			}
		}
	}
	h.Changes = append(h.Changes, c)
}

func (h *History) del(revision int64, key string, seen time.Duration) {
	h.Changes = append(h.Changes, Change{Revision: revision, Key: h.Prefix + key, Deleted: true, Seen: seen})
}

// write is one that took a nanosecond; with a revision it was committed.
func (h *History) write(who string, token, seq, revision int64, at time.Duration, outcome Outcome) {
	w := Write{Value: Value{Who: who, Token: token, Seq: seq, Call: at}, Return: at + 1, Revision: revision, Outcome: outcome}
	h.Writes = append(h.Writes, w)
	if revision != 0 {
		text, _ := json.Marshal(w.Value)
		h.put(revision, "r0", string(text), 0, at+1)
	}
}

func (h *History) reordered() *History {
	slices.SortStableFunc(h.Changes, func(a, b Change) int { return int(a.Revision - b.Revision) })
	return h
}

func TestSoundHistory(t *testing.T) {
	h := sound()
	for _, v := range h.check(lockedKeys{}) {
		t.Error(v)
	}
	if g := h.gaps(lockedKeys{}); len(g) == 0 || g[0].To-g[0].From != s {
		t.Errorf("gaps %v", g)
	}
}

// Each checker finds what it is for, in a history that is sound but for one thing.
func TestPlantedViolations(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(h *History)
		promise string
		text    string
	}{
		"two leaders":            {func(h *History) { h.Beliefs[0].Last = 105 * s }, oneLeader, "a.1 (token 1) and b.1 (token 4) both believed to lead, for 1s"},
		"two leaders at the end": {func(h *History) { h.Beliefs[1].Last = 109 * s }, oneLeader, "for 1s"},
		"one within another": {func(h *History) {
			h.Beliefs[0].Last = 110 * s
		}, oneLeader, "a.1 (token 1) and c.1 (token 8)"},
		"belief outlives the term": {func(h *History) {
			h.Beliefs[2].First = 109 * s
			h.Beliefs[1].Last = 108*s + 5000
		}, inTime, "b.1 believed in its term with token 4 for 5µs"},
		"a belief that is too long": {func(h *History) { h.Beliefs[1].Until = 109 * s }, inTime, "b.1 would, cut off, have believed in its term with token 4 for 1s"},
		"a token again":             {func(h *History) { h.Beliefs[1].Token = 1 }, tokensGrow, "b.1 led with token 1 after a.1 with 1"},
		"a smaller token":           {func(h *History) { h.Beliefs[2].Token = 3 }, tokensGrow, "c.1 led with token 3"},
		"a term of nobody":          {func(h *History) { h.Beliefs[2].Token = 9 }, noPhantom, `c.1 believed to lead with token 9, which is that of ""`},
		"somebody else's":           {func(h *History) { h.Beliefs[2].Who = "d.1" }, noPhantom, `d.1 believed to lead with token 8, which is that of "c.1"`},
		"two terms":                 {func(h *History) { h.put(9, "e0:::term/w", "d.1:::v", 4, 109*s) }, oneValue, "there are 2 terms"},
		"another value":             {func(h *History) { h.put(9, "e0", "d.1:::v", 3, 109*s) }, oneValue, "the path holds"},
		"a value of no term":        {func(h *History) { h.del(9, "e0:::term/z", 109*s) }, oneValue, "there is no term"},
		"a gap for a waiting":       {func(h *History) { h.put(7, "other", "", 2, 0); leaveGap(h) }, noGap, "left the path empty while somebody waited"},
		"out of turn": {func(h *History) {
			h.put(3, "e0:::queue/early", "d.1:::v", 5, 102*s)
			h.put(2, "e0:::queue/earlier", "e.1:::v", 6, 101*s)
			h.del(3, "e0:::queue/y", 102*s)
		}, firstServed, `"b.1:::v" was elected, and somebody else was first`},
		"a stale write": {func(h *History) {
			h.write("a.1", 1, 3, 6, 106*s, Unknown)
		}, fencedWrites, "write 3 of a.1 with token 1 was committed at revision 6, in the term with token 4"},
		"a write without a term": {func(h *History) {
			h.write("b.1", 4, 2, 7, 108*s, Acknowledged)
		}, fencedWrites, "in the term with token 0"},
		"an acknowledged write is lost": {func(h *History) {
			h.write("c.1", 8, 1, 0, 109*s, Acknowledged)
		}, fencedWrites, "is not there"},
		"another revision":         {func(h *History) { h.Writes[1].Revision = 4 }, fencedWrites, "acknowledged at revision 4, and is at 5"},
		"a refused write is there": {func(h *History) { h.Writes[1].Outcome = Refused }, fencedWrites, "was refused, and is there"},
		"a write is done twice": {func(h *History) {
			text, _ := json.Marshal(h.Writes[1].Value)
			h.put(6, "r0", string(text), 0, 106*s)
		}, fencedWrites, "was committed at revision 5, and again at 6"},
		"a stale read": {func(h *History) {
			h.Reads[1].Value = h.Reads[0].Value
		}, linearizable, "the fenced register is not linearizable"},
		"a read of what was never written": {func(h *History) { h.Reads[1].Value.Seq = 7 }, linearizable, "the fenced register"},
		"a lock held by two":               {func(h *History) { h.Beliefs[0].Last, h.Beliefs[0].Ended = 106*s, 106*s+1 }, linearizable, "as a lock"},
		"nobody leads": {func(h *History) {
			h.End, h.Beliefs[2].First, h.Beliefs[2].Last = 120*s, 118*s, 120*s
			h.Probes = []Probe{{1, 100 * s, 120 * s}, {2, 100 * s, 120 * s}}
		}, leaderInTime, "nobody led for 11s, 11s of it"},
		"no recovery": {func(h *History) { h.Calms = []Calmed{{Begin: 108 * s, End: 109 * s, Waiting: []int{0}}} }, recovers, "no leader 1s after"},
	} {
		t.Run(name, func(t *testing.T) {
			h := sound()
			tt.change(h)
			found := h.reordered().check(lockedKeys{})
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == tt.promise && strings.Contains(v.Text, tt.text) }) {
				t.Errorf("not found in %v", found)
			}
		})
	}
}

// Who is elected while all are told to leave may leave without a word of why, which is no fault.
func TestLeavingAtTheEnd(t *testing.T) {
	for end, wrong := range map[time.Duration]bool{107 * s: false, 107*s + 1: true} {
		h := sound()
		h.End, h.Beliefs[1].Until, h.Beliefs[1].Cause = end, 109*s, ""
		found := h.reordered().check(lockedKeys{})
		if slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == inTime }) != wrong {
			t.Errorf("ended at %v: %v", end, found)
		}
	}
}

// What could not be found out is unknown, and that nobody led shows no rule to be broken that keeps two from leading.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		rule, promise string
		want          Verdict
	}{
		{"", oneLeader, Violated},
		{"", leaderInTime, Violated},
		{"", unchecked, TooLittle},
		{"deadline", oneLeader, Violated},
		{"deadline", leaderInTime, TooLittle},
		{"deadline", recovers, TooLittle},
		{"watch", leaderInTime, Violated},
		{"watch", unchecked, TooLittle},
	} {
		r := newResult(Options{Break: tt.rule}, sound(), lockedKeys{}, []Violation{{Promise: tt.promise, Text: "x"}}, nil)
		if r.Verdict != tt.want {
			t.Errorf("%q broken, %q: %s, want %s", tt.rule, tt.promise, r.Verdict, tt.want)
		}
		if tt.promise == unchecked && tt.rule == "" && !slices.Contains(r.Missing, "election 0: x") {
			t.Errorf("missing: %q", r.Missing)
		}
	}
}

// leaveGap makes b leave, instead of losing its lease: something else stays on that.
func leaveGap(h *History) {
	h.put(5, "e0:::queue/q", "b.1:::v", 2, 105*s)
}

// What excuses a time without a leader: that etcd does not serve, and that whoever is in turn suffers. Nothing else does.
func TestExcuses(t *testing.T) {
	long := func() *History { // c is elected at 108, and believes it at 118
		h := sound()
		h.End, h.Beliefs[2].First, h.Beliefs[2].Last = 120*s, 118*s, 120*s
		h.Probes = []Probe{{1, 100 * s, 120 * s}, {2, 100 * s, 120 * s}}
		return h
	}
	for name, tt := range map[string]struct {
		change func(h *History)
		want   time.Duration
	}{
		"nothing":              {func(*History) {}, 11 * s},
		"the leader suffers":   {func(h *History) { h.fault("c", 109*s, 110*s) }, 118*s - (110*s + Wake(2*s))},
		"somebody else does":   {func(h *History) { h.fault("d", 109*s, 118*s) }, 11 * s},
		"the last one did":     {func(h *History) { h.fault("b", 106*s, 107*s) }, 10 * s},
		"etcd is down":         {func(h *History) { h.Probes[1].To = 115 * s }, 8 * s},
		"one member is down":   {func(h *History) { h.Probes = append(h.Probes, Probe{3, 100 * s, 120 * s}); h.Probes[1].To = 115 * s }, 11 * s},
		"its only member is":   {func(h *History) { h.Pinned = map[string][]int{"c": {2}}; h.member(2, 109*s, 110*s) }, 118*s - (110*s + Wake(2*s))},
		"etcd changes leaders": {func(h *History) { h.fault("c", 109*s, 110*s); h.Leaders = []Leadership{{At: 112 * s}} }, 118*s - (112*s + Wake(2*s))},
	} {
		t.Run(name, func(t *testing.T) {
			h := long()
			tt.change(h)
			if got := h.gaps(lockedKeys{})[0]; got.Inexcused != tt.want {
				t.Errorf("%v of %v without excuse, want %v", got.Inexcused, got.To-got.From, tt.want)
			}
		})
	}
}

func (h *History) fault(candidate string, from, to time.Duration) {
	h.Faults = append(h.Faults, Fault{Candidate: candidate, Begin: from, End: to})
}

func (h *History) member(m int, from, to time.Duration) {
	h.Faults = append(h.Faults, Fault{Member: m, Begin: from, End: to})
}

// A write whose answer was lost may have been done at any time until the next one that was acknowledged; one that was
// never done is no operation at all.
func TestLostAnswers(t *testing.T) {
	h := sound()
	h.write("b.1", 4, 2, 6, 105*s, Unknown)
	h.Writes = append(h.Writes, Write{Value: Value{Who: "b.1", Token: 4, Seq: 3, Call: 106 * s}, Outcome: Unknown})
	h.Reads[1] = Read{Call: 107 * s, Return: 107*s + 1, Revision: 6, Value: Value{Who: "b.1", Token: 4, Seq: 2, Call: 105 * s}}
	for _, v := range h.reordered().check(lockedKeys{}) {
		t.Error(v)
	}
}

// A thousand terms of which it is not known when they were gained, nor lost, but only when they were held.
func TestLockOfWideWindows(t *testing.T) {
	h := &History{}
	for i := range 1000 {
		first := time.Duration(1+i) * s
		h.Beliefs = append(h.Beliefs, Belief{Who: fmt.Sprint(i), Token: int64(7 * i), First: first, Last: first + 1, Ended: 2000 * s})
	}
	if !porcupine.CheckOperations(lockModel, h.lockOperations(0)) {
		t.Error("not a lock")
	}
	h.Beliefs[500].Token = h.Beliefs[499].Token - 1
	if porcupine.CheckOperations(lockModel, h.lockOperations(0)) {
		t.Error("a token that has become smaller makes a lock")
	}
	h.Beliefs[500].Token = h.Beliefs[499].Token
	if porcupine.CheckOperations(lockModel, h.lockOperations(0)) {
		t.Error("two with one token make a lock")
	}
}

func TestEtcdsOwnElection(t *testing.T) {
	h := &History{Prefix: "/p/", Elections: 1, TTL: 2 * s, Begin: 100 * s, End: 104 * s}
	h.put(1, "e0/aa", "a.1", 1, 101*s)
	h.put(2, "e0/bb", "b.1", 2, 101*s)
	h.write("a.1", 1, 1, 3, 102*s, Acknowledged)
	h.write("b.1", 2, 1, 4, 102*s, Acknowledged) // it waits
	h.del(5, "e0/aa", 103*s)
	h.write("b.1", 2, 2, 6, 103*s, Acknowledged)
	h.write("a.1", 1, 2, 7, 103*s, Unknown)
	want := []int64{4, 7}
	var got []int64
	for _, v := range checkKeys(h, concurrencyKeys{}) {
		var seq, token, revision int64
		var who string
		if _, err := fmt.Sscanf(v.Text, "write %d of %s with token %d was committed at revision %d", &seq, &who, &token, &revision); err != nil {
			t.Error(v)
		}
		got = append(got, revision)
	}
	if !slices.Equal(got, want) {
		t.Errorf("stale writes at %v, want %v", got, want)
	}
}
