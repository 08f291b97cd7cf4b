package main

import (
	"errors"
	"io"
	"log/slog"

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
