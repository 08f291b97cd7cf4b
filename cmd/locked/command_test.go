package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked"
)

func TestExitCode(t *testing.T) {
	conn := newConnection()
	conn.endpoints = "127.0.0.1:1"
	for _, test := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{fmt.Errorf("%w at /a", locked.ErrNoLeader), 1, "locked: nobody is elected at /a"},
		{usagef("--x: %w", errors.New("no")), 64, "locked: --x: no"},
		{&locked.ConfigError{Field: "TTL", Value: "1h", Want: "must be less"}, 64, "locked: TTL 1h: must be less"},
		{conn.explain(context.DeadlineExceeded), 69, "127.0.0.1:1: connection refused"},
		{conn.explain(rpctypes.ErrNoLeader), 69, `etcd answered "no leader": 127.0.0.1:1: connection refused`},
		{conn.explain(rpctypes.ErrTooManyRequests), 69, `etcd answered "too many requests"`},
		{conn.explain(fmt.Errorf("locked: read /a: %w", rpctypes.ErrCorrupt)), 70, "locked: read /a: etcdserver: corrupt cluster"},
		{conn.explain(fmt.Errorf("locked: read /a: %w", rpctypes.ErrPermissionDenied)), 77, "locked: read /a: etcdserver: permission denied"},
		{conn.explain(rpctypes.ErrUserEmpty), 77, "give --user or LOCKED_USER"},
		{errors.New("disk full"), 70, "locked: disk full"},
		{fmt.Errorf("writing: %w", syscall.EPIPE), 0, ""},
		{conn.explain(fmt.Errorf("reading: %w", context.Canceled)), 130, ""},
	} {
		if got := exitCode(test.err); got != test.code {
			t.Errorf("exitCode(%v) = %d, want %d", test.err, got, test.code)
		}
		if got := errorText(test.err); !strings.Contains(got, test.text) || test.text == "" && got != "" {
			t.Errorf("errorText(%v) = %q, want %q", test.err, got, test.text)
		}
	}
	seen := map[int]bool{}
	for _, e := range exitMeanings {
		if seen[e.code] {
			t.Errorf("exit code %d stands twice in the table", e.code)
		}
		seen[e.code] = true
	}
}

// Every command says what it does, shows how it is used, and offers the same shorthand for the same thing.
func TestCommands(t *testing.T) {
	root := newRootCommand()
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short description %q", cmd.Name(), cmd.Short)
		}
		if cmd.Name() != "version" && !cmd.Hidden && (cmd.Long == "" || cmd.Example == "") {
			t.Errorf("%s: no description or no example", cmd.Name())
		}
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 99 {
				t.Errorf("%s: a line of its help has %d characters: %s", cmd.Name(), len(line), line)
			}
		}
		cmd.Flags().VisitAll(func(f *flag) {
			want := map[string]string{"output": "o", "verbose": "v", "help": "h"}[f.Name]
			if f.Shorthand != want {
				t.Errorf("%s --%s: shorthand %q, want %q", cmd.Name(), f.Name, f.Shorthand, want)
			}
		})
	}
}

func TestLogin(t *testing.T) {
	for _, test := range []struct{ user, password, wantUser, wantPassword string }{
		{"", "", "", ""},
		{"bob:secret", "", "bob", "secret"},
		{"bob:a:b", "", "bob", "a:b"},
		{"bob", "secret", "bob", "secret"},
		{"bob:x", "secret", "bob:x", "secret"}, // as etcdctl has it
	} {
		c := &connection{user: test.user, password: test.password}
		user, password, err := c.login()
		if err != nil || user != test.wantUser || password != test.wantPassword {
			t.Errorf("login(%q, %q) = %q, %q, %v", test.user, test.password, user, password, err)
		}
	}
}

func TestPrintEvent(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 1, 23e6, time.Local)
	var b bytes.Buffer
	p := &eventPrinter{w: &b, format: text, all: true}
	for _, e := range []locked.Event{
		{Kind: locked.EventVacant, Path: "/a", At: at},
		{Kind: locked.EventChange, Path: "/a", ID: "x", Value: "two\nlines", Token: 7, At: at},
		{Kind: locked.EventSelect, Path: "/a", ID: "x", Token: 7, At: at},
		{Kind: locked.EventRefresh, Path: "/a", ID: "x", Token: 7, At: at},
		{Kind: locked.EventPing, Path: "/a", ID: "x", Token: 7, At: at},
		{Kind: locked.EventDeselect, Path: "/a", ID: "x", Token: 7, Cause: locked.ErrExpired, At: at},
		{Kind: locked.EventError, Path: "/a", Cause: errors.New("no luck"), At: at},
	} {
		if err := p.print(e); err != nil {
			t.Fatal(err)
		}
	}
	want := `2026-11-23 12:00:01.023  vacant    nobody is elected
2026-11-23 12:00:01.023  change    x is elected: value "two\nlines", token 7
2026-11-23 12:00:01.023  select    x leads from now on: token 7
2026-11-23 12:00:01.023  refresh   x has renewed its lease: token 7
2026-11-23 12:00:01.023  ping      x is alive: token 7
2026-11-23 12:00:01.023  deselect  x does not lead any more: not renewed in time
2026-11-23 12:00:01.023  error     no luck
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}
