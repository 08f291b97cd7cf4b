package sim

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strings"
)

// beliefLog hears from the lockers' logs when a belief begins and ends: the loop writes them at that very moment.
type beliefLog struct{ a *Arena }

var simLog = flag.Bool("simlog", false, "log what the lockers in a simulation do")

func (b *beliefLog) Enabled(context.Context, slog.Level) bool { return true }
func (b *beliefLog) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *beliefLog) WithGroup(string) slog.Handler            { return b }

func (b *beliefLog) Handle(_ context.Context, r slog.Record) error {
	if *simLog {
		var s strings.Builder
		r.Attrs(func(at slog.Attr) bool { fmt.Fprintf(&s, " %s", at); return true })
		b.a.T.Logf("%v %s%s", b.a.Now(), r.Message, s.String())
	}
	if r.Message != "selected" && r.Message != "deselected" {
		return nil
	}
	attrs := map[string]slog.Value{}
	r.Attrs(func(at slog.Attr) bool { attrs[at.Key] = at.Value; return true })
	if attrs["path"].String() != b.a.Path {
		return nil
	}
	who, token := attrs["id"].String(), attrs["token"].Int64()
	b.a.mu.Lock()
	grown := token + b.a.backs<<40 // tokens begin anew when etcd goes back
	if r.Message == "selected" {
		b.a.terms[token] = who
	} else {
		b.a.ends[fmt.Sprint(attrs["cause"])]++
	}
	b.a.mu.Unlock()
	if r.Message == "selected" {
		b.a.Beliefs.Gain(who, grown)
	} else {
		b.a.Beliefs.Lose(who)
	}
	return nil
}
