package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/samcday/locked/bench/systems"
)

// print writes all that was measured in a format.
func (r *results) print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r.summary())
	case "markdown":
		fmt.Fprintf(w, "%s\n\n", r.Machine)
		return r.report(w, style{markdown: true})
	default:
		fmt.Fprintln(w, r.Machine)
		return r.report(w, style{})
	}
}

// summary is a figure without its samples.
type summary struct {
	Row     string  `json:"row"`
	Theme   string  `json:"theme"`
	Title   string  `json:"title"`
	System  string  `json:"system"`
	Unit    string  `json:"unit"`
	Samples int     `json:"samples"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Floor   float64 `json:"floor,omitempty"`   // median, of its store
	XFloor  float64 `json:"x_floor,omitempty"` // ratio to it
	XLocked float64 `json:"x_locked,omitempty"`
	XTTL    float64 `json:"x_ttl,omitempty"`
	Note    string  `json:"note,omitempty"`
}

func (r *results) summary() (all []summary) {
	for _, t := range r.themes() {
		for _, row := range t.rows {
			for _, system := range systems.All {
				if f := r.find(row.key, system.Name); f != nil {
					all = append(all, r.summarize(t, row, f))
				}
			}
		}
	}
	return all
}

func (r *results) summarize(t *theme, row row, f *figure) summary {
	s := summary{
		Row: row.key, Theme: t.title, Title: row.title, System: f.System, Unit: row.unit.String(),
		Samples: len(f.Samples), Note: f.Note,
	}
	if len(f.Samples) > 0 {
		s.P50, s.P90, s.P99 = f.median(), percentile(f.Samples, 90), percentile(f.Samples, 99)
		s.Max, s.XFloor, s.XLocked = percentile(f.Samples, 100), f.floors(), r.lockeds(f)
		if row.ttl > 0 {
			s.XTTL = s.P50 / row.ttl.Seconds()
		}
	}
	if len(f.Floor) > 0 {
		s.Floor = percentile(f.Floor, 50)
	}
	return s
}
