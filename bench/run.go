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
	current  *scenario
	progress *progressbar.ProgressBar
	cleanups []func()
}

func (o *options) run(ctx context.Context, w io.Writer) error {
	b := &bench{quick: o.quick, systems: o.systems(), results: &results{Machine: machine(o.quick), Quick: o.quick}}
	if o.docs != "" && o.raw == "" {
		o.raw = docsRaw(o.docs)
	}
	if before, err := load(o.raw); err == nil && before.Quick == o.quick { // the others are of other sizes
		b.results.merge(before)
	}
	var failures []error
	for _, s := range scenarios {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		if err := b.measure(ctx, s); err != nil { // the other rows are worth having
			failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if o.raw != "" { // at once, so that an interrupted run is not for nothing
			if err := b.results.save(o.raw); err != nil {
				return err
			}
		}
	}
	return errors.Join(append(failures, o.report(w, b.results))...)
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
	for _, r := range s.rows {
		for _, system := range b.systems {
			b.results.remove(r.key, system.Name)
		}
	}
	defer b.clean()
	begun := time.Now()
	err := s.run(ctx, b)
	fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, time.Since(begun).Round(time.Second))
	return err
}

// clean ends what the scenario has running.
func (b *bench) clean() {
	for _, f := range slices.Backward(b.cleanups) {
		f()
	}
	b.cleanups = nil
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
