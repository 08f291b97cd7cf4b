package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/samcday/locked/bench/systems"
)

// style is how a report is written: for a terminal, or in markdown.
type style struct {
	markdown bool
	plots    string // where they are, if they are shown
}

// report writes each theme: its table, what is to be known of it, its plots, and how the samples spread.
func (r *results) report(w io.Writer, s style) error {
	for _, t := range r.themes() {
		if s.markdown {
			fmt.Fprintf(w, "### %s\n\n", t.title)
		} else {
			fmt.Fprintf(w, "\n%s\n", t.title)
		}
		if err := r.table(w, t, s); err != nil {
			return err
		}
		if s.plots != "" {
			fmt.Fprintln(w)
			for _, row := range r.plotted(t) {
				fmt.Fprintf(w, "![%s](%s/%s.svg)\n", sized(row.plot, r.Quick), s.plots, row.key)
			}
		}
		if err := r.percentiles(w, t, s); err != nil {
			return err
		}
	}
	return nil
}

// table has a line for each system and a column for each row of the theme, or the other way round if there are more rows
// than systems: tables that are long are easier to read than those that are wide.
func (r *results) table(w io.Writer, t *theme, s style) error {
	notes := &footnotes{}
	var lines [][]string
	head := []string{""}
	if len(t.rows) > len(t.systems) {
		head = append(head, t.systems...)
		for _, row := range t.rows {
			line := []string{row.title}
			for _, system := range t.systems {
				line = append(line, r.cell(row, r.find(row.key, system), s, notes))
			}
			lines = append(lines, line)
		}
	} else {
		for _, row := range t.rows {
			head = append(head, row.title)
		}
		for _, system := range t.systems {
			line := []string{system}
			for _, row := range t.rows {
				line = append(line, r.cell(row, r.find(row.key, system), s, notes))
			}
			lines = append(lines, line)
		}
	}
	if len(t.systems) > 0 {
		if err := render(w, s, head, lines); err != nil {
			return err
		}
	}
	for _, text := range []string{notes.String(), t.absent.String()} {
		if text != "" && s.markdown {
			fmt.Fprintln(w)
		}
		if text != "" {
			fmt.Fprintln(w, text)
		}
	}
	return nil
}

func render(w io.Writer, s style, head []string, lines [][]string) error {
	options := []tablewriter.Option{
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
	}
	if s.markdown {
		options = append(options, tablewriter.WithRenderer(renderer.NewMarkdown()))
	}
	table := tablewriter.NewTable(w, options...)
	table.Header(head)
	if err := table.Bulk(lines); err != nil {
		return err
	}
	return table.Render()
}

// cell is a median, and its ratios in a line below, or the number of a note.
func (r *results) cell(row row, f *figure, s style, notes *footnotes) string {
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
	var ratios []string
	if row.ttl > 0 {
		ratios = append(ratios, ratio(f.median()/row.ttl.Seconds())+" TTL")
	}
	if x := f.floors(); x > 0 {
		ratios = append(ratios, ratio(x)+" floor")
	}
	if x := r.lockeds(f); x > 0 {
		ratios = append(ratios, ratio(x)+" locked")
	}
	switch small := strings.Join(ratios, " · "); {
	case small == "":
		return median
	case s.markdown:
		return median + "<br><sub>" + small + "</sub>"
	default:
		return median + "\n" + small
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

// percentiles shows how the samples of each figure spread, where there are several.
func (r *results) percentiles(w io.Writer, t *theme, s style) error {
	var lines [][]string
	for _, row := range t.rows {
		title := row.title
		for _, system := range t.systems {
			f := r.find(row.key, system)
			if f == nil || len(f.Samples) < 2 {
				continue
			}
			line := []string{title, system, fmt.Sprint(len(f.Samples))}
			for _, p := range []float64{50, 90, 99, 100} {
				line = append(line, row.unit.format(percentile(f.Samples, p)))
			}
			for _, p := range []float64{50, 99} {
				if len(f.Floor) > 0 {
					line = append(line, row.unit.format(percentile(f.Floor, p)))
				} else {
					line = append(line, "")
				}
			}
			lines, title = append(lines, line), ""
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if s.markdown {
		fmt.Fprint(w, "\n<details><summary>Percentiles</summary>\n\n")
		defer fmt.Fprint(w, "\n</details>\n\n")
	}
	return render(w, s, []string{"", "", "samples", "p50", "p90", "p99", "max", "floor p50", "floor p99"}, lines)
}
