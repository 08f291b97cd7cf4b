package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// shownViolations is how many of them a table names.
const shownViolations = 10

// Print writes the result for people.
func (r *Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "FAULT\tMADE\tHIT\tWHAT IS DONE\n")
	for _, k := range r.Kinds {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", k.Kind, k.Made, k.Hit, k.What)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Unavailable)) {
		fmt.Fprintf(t, "%s\t-\t-\tnot available here: %s\n", k, r.Unavailable[k])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, row := range r.Rows() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.printVerdict(w)
}

// Rows are the figures: a name, the figure, and what belongs to it.
func (r *Result) Rows() [][3]string {
	num := func(n int) string { return fmt.Sprint(n) }
	sec := func(s float64) string { return fmt.Sprintf("%.2f s", s) }
	return [][3]string{
		{"candidates", r.Against, fmt.Sprintf("%d processes in %d elections, TTL %v, seed %d", r.Candidates, r.Elections,
			time.Duration(r.TTL*float64(time.Second)), r.Seed)},
		{"time", fmt.Sprintf("%.0f s", r.Seconds), ""},
		{"faults", num(r.Faults), fmt.Sprintf("of %d kinds; %d hit", len(r.Kinds), r.Hit)},
		{"leader changes", num(r.Changes), r.changes()},
		{"etcd leader changes", num(r.EtcdChanges), r.program()},
		{"overlaps", num(r.Overlaps), "two that believed to lead at the same instant; longest " + sec(r.LongestOverlap)},
		{"fenced writes", num(r.Writes), fmt.Sprintf("acknowledged; %d refused by the fence, %d unanswered", r.Refused, r.Unanswered)},
		{"lost or stale writes", num(r.LostWrites), "acknowledged and not there, or committed in another term"},
		{"without a leader", sec(r.LongestGap), fmt.Sprintf("at the longest; %s at a stretch without a fault to excuse it, bound %s", sec(r.WorstGap), sec(r.Bound))},
		{"all healed", num(r.Calms), fmt.Sprintf("times; each election had a leader after %s at the latest, bound %s", sec(r.SlowestCalm), sec(r.CalmBound))},
		{"violations", num(len(r.Violations)), "of all promises together"},
	}
}

func (r *Result) program() string {
	if r.Etcd == "" {
		return ""
	}
	return "by etcd " + r.Etcd
}

// changes tells how leaders changed. In etcd's own Election the next key leads as soon as the first is gone, whether
// anybody knows it or not: there it means nothing that a term begins in the revision in which the one before ends.
func (r *Result) changes() string {
	if r.Against == AgainstConcurrency {
		return fmt.Sprintf("%d by loss", r.Lost)
	}
	return fmt.Sprintf("%d by loss; %d handed over in one revision", r.Lost, r.Seamless)
}

func (r *Result) printVerdict(w io.Writer) error {
	fmt.Fprintln(w)
	for i, v := range r.Violations {
		if i == shownViolations {
			fmt.Fprintf(w, "  ... and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(w, "  %s\n", v)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "  %s\n", m)
	}
	_, err := fmt.Fprintf(w, "verdict: %s\n", r.Verdict)
	return err
}

// String is a line for people.
func (v Violation) String() string {
	at := ""
	if v.At != 0 {
		at = fmt.Sprintf(" at %.2f s", v.Seconds)
	}
	return fmt.Sprintf("%s, broken in election %d%s: %s", v.Promise, v.Election, at, v.Text)
}
