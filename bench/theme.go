package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/samcday/locked/bench/systems"
)

// theme is what a table shows: rows that are read together, and the systems that have figures there.
type theme struct {
	title   string
	rows    []row
	systems []string
	absent  absent
}

// themes are those of which something was measured.
func (r *results) themes() (all []*theme) {
	for _, s := range scenarios {
		title := sized(s.theme, r.Quick)
		if n := len(all); n == 0 || all[n-1].title != title {
			all = append(all, &theme{title: title})
		}
		t := all[len(all)-1]
		for _, row := range s.rows {
			if slices.ContainsFunc(r.Figures, func(f *figure) bool { return f.Row == row.key }) {
				t.rows = append(t.rows, row)
			}
		}
	}
	all = slices.DeleteFunc(all, func(t *theme) bool { return len(t.rows) == 0 })
	for _, t := range all {
		for _, system := range systems.All {
			r.enter(t, system.Name)
		}
	}
	return all
}

// enter puts a system in the table, or, if it has no figure there at all, among those that are absent.
func (r *results) enter(t *theme, system string) {
	why := ""
	for _, row := range t.rows {
		f := r.find(row.key, system)
		if f != nil && len(f.Samples) > 0 {
			t.systems = append(t.systems, system)
			return
		}
		if f != nil && why == "" {
			why = f.Note
		}
	}
	if why != "" {
		t.absent.add(system, why)
	}
}

// absent are systems that a table has no figures of, by the reason.
type absent struct {
	reasons []string
	systems map[string][]string
}

func (a *absent) add(system, why string) {
	if a.systems == nil {
		a.systems = map[string][]string{}
	}
	if a.systems[why] == nil {
		a.reasons = append(a.reasons, why)
	}
	a.systems[why] = append(a.systems[why], system)
}

func (a *absent) String() string {
	if len(a.reasons) == 0 {
		return ""
	}
	var parts []string
	for _, why := range a.reasons {
		parts = append(parts, fmt.Sprintf("%s (%s)", strings.Join(a.systems[why], ", "), why))
	}
	return "Not here: " + strings.Join(parts, "; ") + "."
}

// footnotes are why there are no figures, or what is to be known of one, each told once.
type footnotes struct{ list []string }

func (n *footnotes) mark(note string) string {
	i := slices.Index(n.list, note)
	if i < 0 {
		i, n.list = len(n.list), append(n.list, note)
	}
	return fmt.Sprintf("(%d)", i+1)
}

func (n *footnotes) String() string {
	var parts []string
	for i, note := range n.list {
		parts = append(parts, fmt.Sprintf("(%d) %s", i+1, note))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, "; ") + "."
}
