package chaos

import (
	_ "embed"
	"encoding/json"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var reportPage string

// shownGaps is how many of the longest times without a leader a report names.
const shownGaps = 10

// page is what a report draws. Times are seconds since the beginning.
type page struct {
	*Result
	Rows     [][3]string     `json:"rows"`
	End      float64         `json:"end"`
	Beliefs  []pageBelief    `json:"beliefs"`
	Faults   []pageFault     `json:"fault_list"`
	Etcd     []pageBelief    `json:"etcd"`
	Down     [][2]float64    `json:"down"`
	Calms    [][2]float64    `json:"calms"`
	Gaps     []pageGap       `json:"gaps"`
	Overlaps []pageGap       `json:"overlap_list"`
	Found    []pageViolation `json:"found"`
}

type pageBelief struct {
	Election int     `json:"e"`
	Who      string  `json:"who"`
	Token    int64   `json:"token"`
	From     float64 `json:"from"`
	To       float64 `json:"to"`
	Cause    string  `json:"cause"`
}

type pageFault struct {
	Kind     string  `json:"kind"`
	Target   string  `json:"target"`
	From     float64 `json:"from"`
	To       float64 `json:"to"`
	Hit      bool    `json:"hit"`
	Evidence string  `json:"evidence"`
}

type pageGap struct {
	Election  int     `json:"e"`
	From      float64 `json:"from"`
	To        float64 `json:"to"`
	Inexcused float64 `json:"inexcused"`
}

type pageViolation struct {
	Election int     `json:"e"`
	At       float64 `json:"at"`
	Text     string  `json:"text"`
}

// Report writes a page for a browser that shows the result, and who believed to lead when. It needs nothing else.
func (r *Result) Report(w io.Writer) error {
	data, err := json.Marshal(r.page()) // it escapes what would end a script
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Replace(reportPage, "{{DATA}}", string(data), 1))
	return err
}

func (r *Result) page() *page {
	h := r.history
	at := func(t time.Duration) float64 { return max(0, (t - h.Begin).Seconds()) }
	p := &page{Result: r, Rows: r.Rows(), End: at(h.End)}
	for _, b := range h.Beliefs {
		p.Beliefs = append(p.Beliefs, pageBelief{b.Election, b.Who, b.Token, at(b.First), at(b.Last), b.Cause})
	}
	for _, f := range h.Faults {
		p.Faults = append(p.Faults, pageFault{f.Kind, f.Target, at(f.Begin), at(f.End), f.Hit, f.Evidence})
	}
	for i, l := range h.Leaders {
		to := h.End
		if i+1 < len(h.Leaders) {
			to = h.Leaders[i+1].At
		}
		p.Etcd = append(p.Etcd, pageBelief{Who: l.Member, Token: int64(l.RaftTerm), From: at(l.At), To: at(to)})
	}
	for _, s := range h.down() {
		p.Down = append(p.Down, [2]float64{at(s.from), at(s.to)})
	}
	for _, c := range h.Calms {
		p.Calms = append(p.Calms, [2]float64{at(c.Begin), at(c.End)})
	}
	for i, g := range r.gaps {
		if i < shownGaps {
			p.Gaps = append(p.Gaps, pageGap{g.Election, at(g.From), at(g.To), g.Inexcused.Seconds()})
		}
	}
	for _, o := range h.overlaps() {
		p.Overlaps = append(p.Overlaps, pageGap{Election: o.Election, From: at(o.From), To: at(o.To)})
	}
	for _, v := range r.Violations {
		p.Found = append(p.Found, pageViolation{v.Election, v.Seconds, v.String()})
	}
	return p
}
