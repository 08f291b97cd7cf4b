package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked/bench/systems"
)

func example() *results {
	r := &results{Machine: "here"}
	settled := findScenario("handover").rows[0]
	r.set(settled, systems.Locked, []float64{1e-3, 2e-3, 3e-3}, []float64{1e-3}, "")
	r.set(settled, "etcd Election", []float64{10e-3}, []float64{2e-3}, "")
	r.set(settled, "redsync", nil, nil, "missing: start it with peers.sh")
	r.set(settled, "NATS KV", nil, nil, "missing: start it with peers.sh")
	return r
}

func TestTable(t *testing.T) {
	var w bytes.Buffer
	if err := example().print(&w, "markdown"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### Latency", "2 ms<br><sub>2.0× floor</sub>", "10 ms<br><sub>5.0× floor · 5.0× locked</sub>",
		"Not here: redsync, NATS KV (missing: start it with peers.sh).",
	} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("%q is not in\n%s", want, w.String())
		}
	}
}

func TestResultsAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	if err := example().save(file); err != nil {
		t.Fatal(err)
	}
	before, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	now := &results{Machine: "there"}
	now.set(findScenario("handover").rows[0], systems.Locked, []float64{5}, nil, "")
	now.merge(before)
	if got := now.find("handover-settled", systems.Locked).median(); got != 5 {
		t.Errorf("the new figure is %v: the old one was put in its place", got)
	}
	if f := now.find("handover-settled", "etcd Election"); f == nil || f.floors() != 5 || f.Machine != "here" {
		t.Errorf("the old figure is %+v", f)
	}
}

func TestDocument(t *testing.T) {
	dir := t.TempDir()
	text := "a\n<!-- begin machine -->\nold\n<!-- end machine -->\nb\n<!-- begin tables -->\n<!-- end tables -->\nc\n"
	file := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it finds what it wrote itself
		if err := example().document(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(file)
	for _, want := range []string{"a\n<!-- begin machine -->\nhere\n<!-- end machine -->\nb\n", "5.0× locked", "<!-- end tables -->\nc\n"} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, got)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "benchmarks", "handover-settled.svg"))
	if err != nil || !bytes.Contains(svg, []byte("etcd Election")) {
		t.Errorf("the plot: %v", err)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if example().document(dir) == nil {
		t.Error("a file without marks was taken")
	}
}

func TestPercentile(t *testing.T) {
	samples := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{50: 3, 90: 5, 100: 5} {
		if got := percentile(samples, p); got != want {
			t.Errorf("percentile %v is %v, not %v", p, got, want)
		}
	}
	if !math.IsNaN(percentile(nil, 50)) {
		t.Error("nothing has a median")
	}
}

// Every reason not to measure must name a scenario that there is.
func TestUnfit(t *testing.T) {
	for _, s := range systems.All {
		for name := range s.Unfit {
			if findScenario(name) == nil {
				t.Errorf("%s: there is no scenario %q", s.Name, name)
			}
		}
	}
}

// A system that has figures in some rows stays in the table, with a note; there are more rows than systems, so they stand
// one below the other.
func TestTableOfFailover(t *testing.T) {
	r := &results{}
	death, silence := findScenario("death").rows[0], findScenario("silence").rows[0]
	r.set(death, systems.Locked, []float64{2.4}, nil, "")
	r.set(death, "rueidislock", []float64{1.5}, nil, "failed in round 2 of 20: not over after 20s")
	r.set(silence, "rueidislock", nil, nil, "its connection hangs")
	var w bytes.Buffer
	if err := r.report(&w, style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.80× TTL", "0.50× TTL · 0.62× locked", "1.5 s (1)", "– (2)", "(1) failed in round 2 of 20: not over after 20s; (2) its connection hangs."} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("%q is not in\n%s", want, w.String())
		}
	}
}

// One system that never returns must not keep the others from going on, and keeps what it has.
func TestRoundsGiveUp(t *testing.T) {
	b := &bench{results: &results{}, current: findScenario("warm")}
	hangs, goes := &contender{System: systems.Find("rueidislock")}, &contender{System: systems.Find(systems.Locked)}
	o := course{rounds: 3, limit: 50 * time.Millisecond}
	_, err := b.rounds(t.Context(), o, b.current.rows[0], []*contender{hangs, goes}, func(ctx context.Context, round int, c *contender, p *pair) error {
		if c == hangs && round == 1 {
			return systems.Heed(ctx, func() error { select {} })
		}
		p.keep(1)
		return nil
	})
	if err != nil || len(b.failures) > 0 {
		t.Fatal(err, b.failures)
	}
	if f := b.results.find("warm", "locked"); len(f.Samples) != 3 {
		t.Errorf("locked has %d samples", len(f.Samples))
	}
	if f := b.results.find("warm", "rueidislock"); len(f.Samples) != 1 || f.Note != "failed in round 2 of 3: not over after 50ms" {
		t.Errorf("the one that hangs has %d samples and the note %q", len(f.Samples), f.Note)
	}
}

// What an earlier run has measured stays when a later one is interrupted.
func TestInterruptedRunKeeps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	b := &bench{results: &results{}, before: example(), raw: file}
	b.results.set(findScenario("warm").rows[0], systems.Locked, []float64{1}, nil, "")
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if got, err := load(file); err != nil || got.find("warm", systems.Locked) == nil || got.find("handover-settled", systems.Locked) == nil {
		t.Errorf("kept: %+v, %v", got, err)
	}
}
