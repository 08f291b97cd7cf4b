package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/samcday/locked/cmd/internal/supervise"
	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/logqueue"
)

// logging is how a command that runs for long tells what it does: on stderr, with slog.
type logging struct {
	format  format
	verbose bool
}

// addTo adds --log-format, and -v with what it is said to do.
func (l *logging) addTo(flags *pflag.FlagSet, verbose string) {
	l.format = text
	flags.Var(&l.format, "log-format", "how to log, on stderr")
	flags.BoolVarP(&l.verbose, "verbose", "v", false, verbose)
}

// logger tells warnings, errors and what everybody is told, and the rest too with -v.
func (l *logging) logger(w io.Writer) *slog.Logger {
	if l.verbose {
		return newLogger(w, l.format, slog.LevelDebug)
	}
	return newLogger(w, l.format, supervise.Notice)
}

// newLogger tells what has a level, or a higher one.
func newLogger(w io.Writer, f format, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == supervise.Notice {
			return slog.Any(slog.LevelKey, slog.LevelInfo)
		}
		return a
	}}
	if f == jsonForm {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// detached is a logger that keeps nobody waiting: standard error may be a pipe that nobody reads, or a terminal that is held with
// ^S, and whoever watches over a program must go on then. Flush gives what was logged a moment to arrive, and comes last.
func (l *logging) detached(w io.Writer) (log *slog.Logger, flush func()) {
	queue, log := logqueue.New(l.logger(w))
	return log, func() {
		moment, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		queue.Close(moment)
	}
}

// sparing hands on each kind of failure once a minute: what is tried again and again in an outage is told as often by those who
// try it.
type sparing struct {
	slog.Handler
	state *spared
}

type spared struct {
	mu   sync.Mutex
	last map[string]time.Time // by what failed, and where
}

func spare(log *slog.Logger) *slog.Logger {
	return slog.New(sparing{log.Handler(), &spared{last: map[string]time.Time{}}})
}

// Handle hands a record on, if it is not one of a failure that was told of within the last minute.
func (s sparing) Handle(ctx context.Context, r slog.Record) error {
	failed, where := false, ""
	r.Attrs(func(a slog.Attr) bool {
		failed = failed || a.Key == "error" && a.Value.Any() != nil
		if a.Key == "path" {
			where = a.Value.String()
		}
		return true
	})
	if failed && !s.state.due(r.Message+" "+where) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

func (s *spared) due(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if last, known := s.last[what]; known && now.Sub(last) < trouble.Every {
		return false
	}
	s.last[what] = now
	return true
}

// WithAttrs keeps what was told of.
func (s sparing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sparing{s.Handler.WithAttrs(attrs), s.state}
}

// WithGroup does so too.
func (s sparing) WithGroup(name string) slog.Handler {
	return sparing{s.Handler.WithGroup(name), s.state}
}
