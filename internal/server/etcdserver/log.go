package etcdserver

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// expected are warnings and errors that a sound server of ours logs at each
// start. They become debug records.
var expected = []string{
	"scheme is http or unix while key and cert files are present", // on loopback, without access to keys
	"scheme is http or unix while --client-cert-auth is enabled",  // the same
	"simple token is not cryptographically signed",
	"Failed to detect schema version", // of a new database, for some seconds
	"failed to update storage version",
}

// core passes etcd's records on to slog. etcd logs the ordinary end of each of
// its listeners as an error, hence mute, to be set before a close.
type core struct {
	log  *slog.Logger
	mute *atomic.Bool
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func entryLevel(e zapcore.Entry) slog.Level {
	for _, prefix := range expected {
		if strings.HasPrefix(e.Message, prefix) {
			return slog.LevelDebug
		}
	}
	return level(e.Level)
}

// Enabled implements [zapcore.LevelEnabler].
func (c core) Enabled(l zapcore.Level) bool {
	return !c.mute.Load() && c.log.Enabled(context.Background(), level(l))
}

// With implements [zapcore.Core].
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{log: c.log.With(args(fields)...), mute: c.mute}
}

// Check implements [zapcore.Core].
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) || !c.log.Enabled(context.Background(), entryLevel(e)) {
		return ce
	}
	return ce.AddCore(e, c)
}

// Write implements [zapcore.Core].
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), entryLevel(e), e.Message, args(fields)...)
	return nil
}

// Sync implements [zapcore.Core].
func (c core) Sync() error { return nil }

func args(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	var out []any
	for _, key := range slices.Sorted(maps.Keys(enc.Fields)) {
		out = append(out, slog.Any(key, enc.Fields[key]))
	}
	return out
}

// giveUp is called when etcd cannot go on. On its own etcd would exit the
// process or panic in a goroutine that nobody can catch; here the failure is
// reported and the goroutine ended, so that nothing more is acknowledged.
type giveUp func(error)

// OnWrite implements [zapcore.CheckWriteHook].
func (f giveUp) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	f(errors.New(e.Message + cause(fields)))
	runtime.Goexit()
}

func cause(fields []zapcore.Field) string {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok {
			return ": " + err.Error()
		}
	}
	return ""
}

func newZap(log *slog.Logger, mute *atomic.Bool, fail giveUp) *zap.Logger {
	return zap.New(core{log: log, mute: mute}, zap.WithFatalHook(fail), zap.WithPanicHook(fail))
}
