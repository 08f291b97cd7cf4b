package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/pflag"
)

// logging is how a command that runs for long tells what it does: on stderr, with slog.
type logging struct {
	format  logFormat
	verbose bool
}

type logFormat string

func (f *logFormat) String() string { return string(*f) }

// Type is what the flag's argument is called in help texts.
func (f *logFormat) Type() string { return "text|json" }

// Set takes the flag's argument.
func (f *logFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("must be text or json")
	}
	*f = logFormat(s)
	return nil
}

// addTo adds --log-format, and -v with what it is said to do.
func (l *logging) addTo(flags *pflag.FlagSet, verbose string) {
	l.format = "text"
	flags.Var(&l.format, "log-format", "how to log, on stderr")
	flags.BoolVarP(&l.verbose, "verbose", "v", false, verbose)
}

// logger tells warnings and errors, and the rest too with -v.
func (l *logging) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelWarn}
	if l.verbose {
		options.Level = slog.LevelDebug
	}
	if l.format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// detached is a writer that keeps nobody waiting: standard error may be a pipe that nobody reads, or a terminal that is held
// with ^S, and whoever watches over a program must go on then. What is not taken in time is left out.
type detached struct {
	w     io.Writer
	queue chan func()
}

func detach(w io.Writer) *detached {
	d := &detached{w, make(chan func(), 1000)}
	go func() {
		for do := range d.queue {
			do()
		}
	}()
	return d
}

// Write takes a copy of a line.
func (d *detached) Write(line []byte) (int, error) {
	line = bytes.Clone(line)
	select {
	case d.queue <- func() { _, _ = d.w.Write(line) }:
	default:
	}
	return len(line), nil
}

// flush gives what was written a moment to arrive.
func (d *detached) flush() {
	done := make(chan struct{})
	select {
	case d.queue <- func() { close(done) }:
	default:
		return
	}
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond):
	}
}
