package chaos

import (
	"fmt"
	"slices"
)

// Verdict is what came out.
type Verdict string

// A run that did too little proves nothing.
const (
	OK        Verdict = "ok"
	Violated  Verdict = "violated"
	TooLittle Verdict = "unknown"
)

// What a run must at least have seen to be ok.
const (
	enoughHits    = 20
	enoughKinds   = 6
	enoughChanges = 20
	enoughLost    = 10
	enoughWrites  = 100
)

// Result is what a run has shown.
type Result struct {
	Verdict Verdict  `json:"verdict"`
	Missing []string `json:"missing,omitempty"` // why it is unknown

	Seed       uint64  `json:"seed"`
	Against    string  `json:"against"`
	Etcd       string  `json:"etcd,omitempty"` // the version of a program, not the one built in
	Break      string  `json:"break,omitempty"`
	Seconds    float64 `json:"seconds"`
	TTL        float64 `json:"ttl_seconds"`
	Elections  int     `json:"elections"`
	Candidates int     `json:"candidates"`

	Faults      int               `json:"faults"`
	Hit         int               `json:"faults_hit"`
	Kinds       []KindResult      `json:"kinds"`
	Unavailable map[string]string `json:"unavailable,omitempty"`

	Changes        int     `json:"leader_changes"`
	Lost           int     `json:"leader_changes_by_loss"`
	Seamless       int     `json:"handovers_in_one_revision,omitempty"`
	EtcdChanges    int     `json:"etcd_leader_changes"`
	Overlaps       int     `json:"overlaps"`
	LongestOverlap float64 `json:"longest_overlap_seconds"`
	Writes         int     `json:"fenced_writes"`
	Refused        int     `json:"fenced_writes_refused"`
	Unanswered     int     `json:"fenced_writes_unanswered"`
	LostWrites     int     `json:"fenced_writes_lost_or_stale"`
	LongestGap     float64 `json:"longest_gap_seconds"`
	WorstGap       float64 `json:"longest_gap_without_excuse_seconds"`
	Bound          float64 `json:"gap_bound_seconds"`
	Calms          int     `json:"healed"`
	SlowestCalm    float64 `json:"slowest_recovery_seconds"`
	CalmBound      float64 `json:"recovery_bound_seconds"`

	Violations []Violation `json:"violations"`

	history *History
	gaps    []Gap
}

// KindResult counts the faults of one kind.
type KindResult struct {
	Kind    string `json:"kind"`
	What    string `json:"what"`
	Made    int    `json:"made"`
	Hit     int    `json:"hit"`
	Example string `json:"example,omitempty"` // what showed that one hit
}

func newResult(o Options, h *History, p protocol, found []Violation, unavailable map[string]string) *Result {
	r := &Result{
		Seed: o.Seed, Against: o.Against, Break: o.Break, Seconds: (h.End - h.Begin).Seconds(), TTL: o.TTL.Seconds(),
		Elections: o.Elections, Candidates: candidates, Unavailable: unavailable,
		Bound: Bound(o.TTL).Seconds(), CalmBound: Calm(o.TTL).Seconds(), Violations: []Violation{}, history: h,
	}
	for _, v := range found {
		if v.Promise == unchecked {
			r.Missing = append(r.Missing, fmt.Sprintf("election %d: %s", v.Election, v.Text))
			continue
		}
		r.Violations = append(r.Violations, v)
	}
	if r.Against == "" {
		r.Against = "locked"
	}
	if o.Etcd != nil {
		r.Etcd = o.Etcd.Version
	}
	r.countFaults(h)
	r.countTerms(h)
	r.countWrites(h)
	r.countGaps(h, p)
	if o.Against == "" {
		r.Seamless = h.handovers(p)
	}
	r.EtcdChanges = max(0, len(h.Leaders)-1)
	r.decide()
	return r
}

func (r *Result) countFaults(h *History) {
	for _, k := range Kinds {
		one := KindResult{Kind: k.Name, What: k.What}
		for _, f := range h.Faults {
			if f.Kind != k.Name {
				continue
			}
			one.Made++
			if f.Hit {
				one.Hit++
			}
			if len(f.Evidence) > len(one.Example) {
				one.Example = f.Evidence
			}
		}
		r.Faults += one.Made
		r.Hit += one.Hit
		if one.Made > 0 {
			r.Kinds = append(r.Kinds, one)
		}
	}
}

// countTerms leaves out the first term of each election, and those that ended with the run.
func (r *Result) countTerms(h *History) {
	for e := range h.Elections {
		list := h.beliefsOf(e)
		r.Changes += max(0, len(list)-1)
		for _, b := range list {
			if b.Lost() && b.Last < h.End {
				r.Lost++
			}
		}
	}
	r.Overlaps = len(h.overlaps())
	for _, o := range h.overlaps() {
		r.LongestOverlap = max(r.LongestOverlap, (o.To - o.From).Seconds())
	}
}

func (r *Result) countWrites(h *History) {
	for _, w := range h.Writes {
		switch w.Outcome {
		case Acknowledged:
			r.Writes++
		case Refused:
			r.Refused++
		case Unknown:
			r.Unanswered++
		}
	}
	for _, v := range r.Violations {
		if v.Promise == fencedWrites {
			r.LostWrites++
		}
	}
}

func (r *Result) countGaps(h *History, p protocol) {
	r.gaps = h.gaps(p)
	for _, g := range r.gaps {
		r.LongestGap = max(r.LongestGap, (g.To - g.From).Seconds())
		r.WorstGap = max(r.WorstGap, g.Inexcused.Seconds())
	}
	r.Calms = len(h.Calms)
	for _, c := range h.Calms {
		took := c.All - c.Begin
		if c.All == 0 {
			took = c.End - c.Begin
		}
		r.SlowestCalm = max(r.SlowestCalm, took.Seconds())
	}
}

func (r *Result) decide() {
	hit := len(slices.DeleteFunc(slices.Clone(r.Kinds), func(k KindResult) bool { return k.Hit == 0 }))
	for _, need := range []struct {
		got, want int
		what      string
	}{
		{r.Hit, enoughHits, "faults that hit"},
		{hit, enoughKinds, "kinds of faults that hit"},
		{r.Changes, enoughChanges, "leader changes"},
		{r.Lost, enoughLost, "leader changes by loss"},
		{r.Writes, enoughWrites, "fenced writes"},
		{r.Calms, 1, "recoveries"},
	} {
		if need.got < need.want {
			r.Missing = append(r.Missing, fmt.Sprintf("%d %s, at least %d are needed", need.got, need.what, need.want))
		}
	}
	rule, broken := RuleNamed(r.Break)
	switch {
	case broken && !slices.ContainsFunc(r.Violations, rule.shownBy):
		r.Verdict, r.Missing = TooLittle, []string{"the rule was broken, and nothing has shown it"}
	case len(r.Violations) > 0:
		r.Verdict, r.Missing = Violated, nil
	case len(r.Missing) > 0:
		r.Verdict = TooLittle
	default:
		r.Verdict = OK
	}
}
