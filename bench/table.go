package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

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
		if err := r.table(w, true); err != nil {
			return err
		}
		fmt.Fprintln(w)
		return r.percentiles(w, true)
	default:
		fmt.Fprintln(w, r.Machine)
		if err := r.table(w, false); err != nil {
			return err
		}
		return r.percentiles(w, false)
	}
}

// summary is a figure without its samples.
type summary struct {
	Row     string  `json:"row"`
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
	Note    string  `json:"note,omitempty"`
}

func (r *results) summary() (all []summary) {
	r.each(func(row row, system string, f *figure) {
		s := summary{Row: row.key, Title: row.called(r.Quick), System: system, Unit: row.unit.String(), Samples: len(f.Samples), Note: f.Note}
		if len(f.Samples) > 0 {
			s.P50, s.P90, s.P99 = f.median(), percentile(f.Samples, 90), percentile(f.Samples, 99)
			s.Max, s.XFloor, s.XLocked = percentile(f.Samples, 100), f.floors(), r.lockeds(f)
		}
		if len(f.Floor) > 0 {
			s.Floor = percentile(f.Floor, 50)
		}
		all = append(all, s)
	})
	return all
}

// each goes through the figures in the order of rows and systems.
func (r *results) each(f func(row, string, *figure)) {
	for _, s := range scenarios {
		for _, row := range s.rows {
			for _, system := range systems.All {
				if fig := r.find(row.key, system.Name); fig != nil {
					f(row, system.Name, fig)
				}
			}
		}
	}
}

// lockeds is how many times that of locked the figure is, 0 if there is none to compare it with.
func (r *results) lockeds(f *figure) float64 {
	ours := r.find(f.Row, systems.Locked)
	if ours == nil || f.System == systems.Locked || len(ours.Samples) == 0 || len(f.Samples) == 0 || ours.median() <= 0 {
		return 0
	}
	return f.median() / ours.median()
}

// table has a row for each thing measured and a column for each system. Why there is no figure stands below it.
func (r *results) table(w io.Writer, markdown bool) error {
	table, lineBreak := newTable(w, markdown)
	header := []string{""}
	for _, s := range systems.All {
		header = append(header, s.Name)
	}
	table.Header(header)
	notes := &footnotes{}
	for _, s := range scenarios {
		for _, row := range s.rows {
			line, any := []string{row.called(r.Quick)}, false
			for _, system := range systems.All {
				f := r.find(row.key, system.Name)
				any = any || f != nil
				line = append(line, r.cell(row, f, lineBreak, notes))
			}
			if !any {
				continue
			}
			if err := table.Append(line); err != nil {
				return err
			}
		}
	}
	if err := table.Render(); err != nil {
		return err
	}
	return notes.print(w, markdown)
}

func newTable(w io.Writer, markdown bool) (table *tablewriter.Table, lineBreak string) {
	options := []tablewriter.Option{
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
	}
	if markdown {
		return tablewriter.NewTable(w, append(options, tablewriter.WithRenderer(renderer.NewMarkdown()))...), ", "
	}
	return tablewriter.NewTable(w, options...), "\n"
}

// cell is a median and its ratios, or the number of a note.
func (r *results) cell(row row, f *figure, lineBreak string, notes *footnotes) string {
	switch {
	case f == nil:
		return ""
	case len(f.Samples) == 0:
		return "– " + notes.mark(f.Note)
	}
	median := row.unit.format(f.median())
	if f.Note != "" {
		median += " " + notes.mark(f.Note)
	}
	parts := []string{median}
	if x := f.floors(); x > 0 {
		parts = append(parts, ratio(x)+" floor")
	}
	if x := r.lockeds(f); x > 0 {
		parts = append(parts, ratio(x)+" locked")
	}
	return strings.Join(parts, lineBreak)
}

// footnotes are why there are no figures, each told once.
type footnotes struct{ list []string }

func (n *footnotes) mark(note string) string {
	for i, other := range n.list {
		if other == note {
			return fmt.Sprintf("(%d)", i+1)
		}
	}
	n.list = append(n.list, note)
	return fmt.Sprintf("(%d)", len(n.list))
}

func (n *footnotes) print(w io.Writer, markdown bool) error {
	for i, note := range n.list {
		end := ""
		if markdown {
			if end = "; "; i == len(n.list)-1 {
				end = ".\n"
			}
			if i == 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "(%d) %s%s", i+1, note, end)
			continue
		}
		fmt.Fprintf(w, "(%d) %s\n", i+1, note)
	}
	return nil
}

// percentiles shows how the samples of each figure spread, where there are several.
func (r *results) percentiles(w io.Writer, markdown bool) error {
	table, _ := newTable(w, markdown)
	table.Header([]string{"", "", "samples", "p50", "p90", "p99", "max", "floor p50", "floor p99"})
	last := ""
	r.each(func(row row, system string, f *figure) {
		if len(f.Samples) < 2 {
			return
		}
		title := row.called(r.Quick)
		if title == last {
			title = ""
		}
		last = row.called(r.Quick)
		line := []string{title, system, fmt.Sprint(len(f.Samples))}
		for _, p := range []float64{50, 90, 99, 100} {
			line = append(line, row.unit.format(percentile(f.Samples, p)))
		}
		for _, p := range []float64{50, 99} {
			if len(f.Floor) > 0 {
				line = append(line, row.unit.format(percentile(f.Floor, p)))
			}
		}
		_ = table.Append(line)
	})
	return table.Render()
}
