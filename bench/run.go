package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/samcday/locked/bench/systems"
)

// bench is one run.
type bench struct {
	quick    bool
	systems  []*systems.System
	results  *results
	before   *results // of an earlier run: what is not measured now stays
	raw      string
	current  *scenario
	failures []error // of locked
	progress *progressbar.ProgressBar
	cleanups []func()
}

func (o *options) run(ctx context.Context, w io.Writer) error {
	b := &bench{quick: o.quick, systems: o.systems(), results: &results{Machine: machine(o.quick), Quick: o.quick}, raw: o.raw}
	if o.docs != "" && o.raw == "" {
		b.raw = docsRaw(o.docs)
	}
	if before, err := load(b.raw); err == nil && before.Quick == o.quick { // the others are of other sizes
		b.before = before
	}
	for _, s := range scenarios {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		if err := b.measure(ctx, s); err != nil { // the other rows are worth having
			b.failures = append(b.failures, fmt.Errorf("%s: %w", s.name, err))
		}
		if err := b.save(); err != nil {
			return err
		}
		if ctx.Err() != nil { // what there is is reported all the same
			break
		}
	}
	b.results.merge(b.before)
	return errors.Join(append(b.failures, o.report(w, b.results))...)
}

// save keeps what was measured at once, so that an interrupted run is not for nothing.
func (b *bench) save() error {
	if b.raw == "" {
		return nil
	}
	all := *b.results
	all.Figures = slices.Clone(all.Figures)
	all.merge(b.before)
	return all.save(b.raw)
}

// systems are those that are measured.
func (o *options) systems() (all []*systems.System) {
	for _, s := range systems.All {
		if len(o.system) == 0 || slices.Contains(o.system, s.Name) {
			all = append(all, s)
		}
	}
	return all
}

// report prints the figures, and writes them into the docs.
func (o *options) report(w io.Writer, r *results) error {
	if o.docs != "" {
		if err := r.document(o.docs); err != nil {
			return err
		}
	}
	return r.print(w, o.output)
}

func (b *bench) measure(ctx context.Context, s *scenario) error {
	b.current = s
	defer b.clean()
	begun := time.Now()
	err := s.run(ctx, b)
	fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, time.Since(begun).Round(time.Second))
	return err
}

const closing = 10 * time.Second

// clean ends what the scenario has running.
func (b *bench) clean() {
	for _, f := range slices.Backward(b.cleanups) {
		atMost(closing, f)
	}
	b.cleanups = nil
}

// atMost waits for f so long, and leaves it to itself then.
func atMost(d time.Duration, f func()) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_ = systems.Heed(ctx, func() error {
		f()
		return nil
	})
}

// cleanup does something at the end of the scenario.
func (b *bench) cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

// steps shows a bar of so many steps, for the scenario that goes on.
func (b *bench) steps(n int) {
	if b.progress != nil {
		b.progress.Exit()
	}
	b.progress = progressbar.NewOptions(n, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(),
		progressbar.OptionSetDescription(fmt.Sprintf("%-10s", b.current.name)), progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetVisibility(term.IsTerminal(int(os.Stderr.Fd()))),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(os.Stderr) }))
}

func (b *bench) step() { b.progress.Add(1) }

// pick is one of two numbers: that of a full run, or that of a quick one.
func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// endpoint is where a store is, empty if it is not there.
func (b *bench) endpoint(s *systems.Store, e *etcd) string {
	if s.Env == "" {
		return e.endpoint
	}
	return os.Getenv(s.Env)
}
