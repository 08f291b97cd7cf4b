package test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/hitch"
)

// Ids, values and paths of every awkward kind go through etcd unchanged, to the keys, the events and the calls.
func TestAwkwardNames(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l, other := locker(t, e.Endpoint()), locker(t, e.Endpoint())
	long := strings.Repeat("x", locked.MaxPathSize)
	for _, tt := range []struct{ what, path, id, value string }{
		{"a separator in the value", "/p", "a", "b:::c:::"},
		{"nothing but a separator", "/p", "a", ":::"},
		{"colons in front of the value", "/p", "a", ":b"},
		{"colons", "/p:q::r", "::a:b::c", "::"},
		{"newlines", "/p", "a", "\n\r\n"},
		{"zero bytes", "/p", "a", "\x00b\x00"},
		{"no UTF-8", "/p", "a", "\xff\xfe\x80"},
		{"a space", "/p", "a", " "},
		{"spaces", "/ p ", " the id ", "the value"},
		{"slashes", "//p//", "a/b/", "c/d"},
		{"other letters", "/größe/日本/🔒", "ünï-ÇØ-🗝", "värde"},
		{"no slash", "p", "a", "v"},
		{"letters of ranges", "~\u00ff\U0010ffff", "a", "v"},
		{"long names", long, strings.Repeat("i", locked.MaxIDSize), "v"},
		{"the largest value", long, strings.Repeat("i", locked.MaxIDSize), strings.Repeat("\x00v", locked.MaxValueSize/2)},
		{"a key of the protocol's", "/p", "queue/x", "term/y"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			cfg := locked.NodeConfig{ID: tt.id, Value: tt.value, TTL: time.Minute}
			n := node(t, l, tt.path, cfg)
			cfg.ID = "2" + strings.TrimLeft(tt.id, "ü")[1:]
			next := node(t, other, tt.path, cfg)
			events := listen(t, next)
			start(t, n, next)
			e.want(tt.path, tt.id+":::"+tt.value)
			leader, err := other.Leader(t.Context(), tt.path)
			if err != nil || leader.ID != tt.id || leader.Value != tt.value || leader.Path != tt.path {
				t.Errorf("leader %.200v: %v", leader, err)
			}
			events.await(locked.EventChange, of(tt.id), value(tt.value))
			if candidates, err := l.Candidates(t.Context(), tt.path); err != nil || len(candidates) != 2 || candidates[1].ID != next.LocalID() {
				t.Errorf("%.200v: %v", candidates, err)
			}
			if all, err := l.Elections(t.Context(), tt.path); err != nil || len(all) != 1 || all[0] != leader {
				t.Errorf("%.200v: %v", all, err)
			}
			stop(t, n)
			events.await(locked.EventSelect, of(next.LocalID()), value(tt.value))
			e.want(tt.path, next.LocalData())
			if err := next.SetValue(patient(t), tt.value[1:]+"!"); err != nil {
				t.Error(err)
			}
			stop(t, next)
		})
	}
}

// Settings that cannot work are refused at once, by an error that names the field, the value and what is allowed; nothing
// is sent to etcd.
func TestRefusedNodes(t *testing.T) {
	t.Parallel()
	l := locker(t, deadEndpoint(t))
	good := locked.NodeConfig{ID: "a", Value: "v"}
	with := func(change func(*locked.NodeConfig)) locked.NodeConfig {
		cfg := good
		change(&cfg)
		return cfg
	}
	id := func(s string) locked.NodeConfig { return with(func(c *locked.NodeConfig) { c.ID = s }) }
	ttl := func(d time.Duration) locked.NodeConfig { return with(func(c *locked.NodeConfig) { c.TTL = d }) }
	grace := func(d time.Duration) locked.NodeConfig { return with(func(c *locked.NodeConfig) { c.Grace = d }) }
	for name, tt := range map[string]struct {
		path  string
		cfg   locked.NodeConfig
		field string
		wants []string
	}{
		"no path":             {"", good, "path", []string{`""`, "empty"}},
		"path with separator": {"/a:::b", good, "path", []string{`"/a:::b"`, `":::"`}},
		"path ends in colon":  {"/a:", good, "path", []string{`"/a:"`, `end in ":"`}},
		"path with newline":   {"/a\n", good, "path", []string{`"/a\n"`, "control characters"}},
		"path with zero":      {"/a\x00b", good, "path", []string{`"/a\x00b"`, "control characters"}},
		"path with delete":    {"/a\x7f", good, "path", []string{"control characters"}},
		"path not UTF-8":      {"/a\xff", good, "path", []string{`"/a\xff"`, "UTF-8"}},
		"long path":           {strings.Repeat("p", 1025), good, "path", []string{`ppp"…`, "1025", "1024"}},
		"id with separator":   {"/p", id("a:::b"), "ID", []string{`"a:::b"`, `":::"`}},
		"id ends in colon":    {"/p", id("a:"), "ID", []string{`"a:"`, `end in ":"`}},
		"id ends in colons":   {"/p", id("a::"), "ID", []string{`"a::"`, `end in ":"`}},
		"id with tab":         {"/p", id("a\tb"), "ID", []string{`"a\tb"`, "control characters"}},
		"id not UTF-8":        {"/p", id("\xc0"), "ID", []string{"UTF-8"}},
		"long id":             {"/p", id(strings.Repeat("i", 257)), "ID", []string{"257", "256"}},
		"no value":            {"/p", with(func(c *locked.NodeConfig) { c.Value = "" }), "Value", []string{"empty"}},
		"large value":         {"/p", with(func(c *locked.NodeConfig) { c.Value = strings.Repeat("v", locked.MaxValueSize+1) }), "Value", []string{"bytes"}},
		"TTL too short":       {"/p", ttl(999 * time.Millisecond), "TTL", []string{"999ms", "1s", "1h0m0s"}},
		"TTL too long":        {"/p", ttl(time.Hour + 1), "TTL", []string{"1h0m0.000000001s", "1h0m0s"}},
		"negative TTL":        {"/p", ttl(-time.Second), "TTL", []string{"-1s"}},
		"negative grace":      {"/p", grace(-1), "Grace", []string{"-1ns"}},
		"negative failures":   {"/p", locked.NodeConfig{Value: "v", CheckFailures: -1}, "CheckFailures", []string{"-1", "1 or more"}},
		"grace too long":      {"/p", grace(locked.DefaultTTL/3 + 1), "Grace", []string{"3.333333334s", "third of the TTL"}},
	} {
		n, err := l.Node(tt.path, tt.cfg)
		if n != nil {
			t.Errorf("%s: was accepted", name)
			continue
		}
		var bad *locked.ConfigError
		if !errors.As(err, &bad) || bad.Field != tt.field {
			t.Errorf("%s: %v is not about %s", name, err, tt.field)
			continue
		}
		for _, want := range append(tt.wants, tt.field) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
		if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}

	// Fractions of a second are rounded up, which the grace is counted from.
	n := node(t, l, "/p", locked.NodeConfig{Value: "v", TTL: 1001 * time.Millisecond})
	if c := n.Config(); c.TTL != 2*time.Second || c.Grace != 400*time.Millisecond {
		t.Error(c.TTL, c.Grace)
	}
	// An id that is made up is another one each time, and passes for an id.
	other := node(t, l, "/p", locked.NodeConfig{Value: "v"})
	if n.LocalID() == other.LocalID() || n.Config().TTL == other.Config().TTL {
		t.Error(n.LocalID(), other.LocalID())
	}

	// The calls that take a path refuse the same ones.
	for call, err := range map[string]error{
		"Leader":     second(l.Leader(t.Context(), "/a:")),
		"Candidates": second(l.Candidates(t.Context(), "")),
		"Transfer":   l.Transfer(t.Context(), "/a\n", ""),
		"Watch":      (<-l.Watch(t.Context(), "/a:")).Cause,
	} {
		var bad *locked.ConfigError
		if !errors.As(err, &bad) || bad.Field != "path" {
			t.Error(call, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Options that cannot work are refused by New and NewFromClient, which then leave nothing behind.
func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	client := dial(t, clientv3.Config{Endpoints: []string{deadEndpoint(t)}})
	for name, tt := range map[string]struct {
		option locked.Option
		wants  []string
	}{
		"TTL":             {locked.WithTTL(0), []string{"WithTTL", "0s", "1s", "1h0m0s"}},
		"TTL too long":    {locked.WithTTL(2 * time.Hour), []string{"WithTTL", "2h0m0s"}},
		"timeout":         {locked.WithRequestTimeout(time.Millisecond), []string{"WithRequestTimeout", "1ms", "100ms", "1m"}},
		"timeout too big": {locked.WithRequestTimeout(time.Hour), []string{"WithRequestTimeout", "1h0m0s"}},
		"logger":          {locked.WithLogger(nil), []string{"WithLogger", "nil"}},
		"user":            {locked.WithAuth("", "x"), []string{"WithAuth", "user"}},
		"password":        {locked.WithAuth("x", ""), []string{"WithAuth", "password"}},
	} {
		_, err := locked.New("127.0.0.1:1", tt.option)
		mustRefuse(t, name, err, tt.wants...)
		_, err = locked.NewFromClient(client, tt.option)
		mustRefuse(t, name, err, tt.wants...)
	}
	for _, endpoints := range []string{"", " , ", ","} {
		_, err := locked.New(endpoints)
		mustRefuse(t, "endpoints", err, "endpoints", "HOST:PORT")
	}
	_, err := locked.NewFromClient(nil)
	mustRefuse(t, "no client", err, "client")
	_, err = locked.NewFromClient(clientv3.NewCtxClient(t.Context()))
	mustRefuse(t, "a client of nothing", err, "client")
	_, err = locked.NewFromClient(client, locked.WithTLS(&tls.Config{}))
	mustRefuse(t, "TLS of another's client", err, "WithTLS")
	_, err = locked.NewFromClient(client, locked.WithAuth("a", "b"))
	mustRefuse(t, "auth of another's client", err, "WithAuth")
}

func mustRefuse(t *testing.T, what string, err error, wants ...string) {
	t.Helper()
	var bad *locked.ConfigError
	if !errors.As(err, &bad) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not say %q", what, err, want)
		}
	}
}

// deadEndpoint is one where nobody answers.
func deadEndpoint(t testing.TB) string {
	t.Helper()
	return hitch.Addr(t)
}

// silentEndpoint is one that accepts connections and says nothing.
func silentEndpoint(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// New does not wait for etcd: where nobody answers, each call says so within the request timeout, and names the endpoint.
// Law 11: a locker that has never reached etcd can be closed at once.
func TestDeadEndpoint(t *testing.T) {
	t.Parallel()
	for kind, endpoint := range map[string]string{"nobody listens": deadEndpoint(t), "silence": silentEndpoint(t)} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const timeout = 500 * time.Millisecond
			l := locker(t, endpoint, locked.WithRequestTimeout(timeout))
			n := node(t, l, "/p", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Second})
			heard, observed := listen(t, n), observe(t, l, "/p")
			patientLocker := locker(t, endpoint)
			patientNode := node(t, patientLocker, "/p", locked.NodeConfig{ID: "n", Value: "v", TTL: time.Second})
			for call, f := range map[string]func() error{
				"Start":      func() error { return n.Start(t.Context()) },
				"Leader":     func() error { return second(l.Leader(t.Context(), "/p")) },
				"Candidates": func() error { return second(l.Candidates(t.Context(), "/p")) },
				"Elections":  func() error { return second(l.Elections(t.Context(), "/p")) },
				"Transfer":   func() error { return l.Transfer(t.Context(), "/p", "") },
			} {
				var err error
				if took := hitch.Ran(func() { err = f() }); took > 10*timeout {
					t.Errorf("%s took %v", call, took)
				}
				if err == nil || !strings.Contains(err.Error(), endpoint) || !strings.Contains(err.Error(), "/p") {
					t.Errorf("%s does not name the endpoint %s and the path: %v", call, endpoint, err)
				}

				// A context that ends before is what the call ends with.
				ctx, cancel := context.WithTimeout(t.Context(), timeout/10)
				if call == "Start" {
					err = patientNode.Start(ctx)
				} else {
					err = second(patientLocker.Leader(ctx, "/p"))
				}
				if cancel(); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", call, err)
				}
			}
			heard.await(locked.EventError, naming("/p", endpoint))
			observed.await(locked.EventError, naming("/p", endpoint))
			stop(t, n)
			if n.IsSelected() {
				t.Error("selected")
			}

			// Two nodes that wait for etcd, and the locker is closed under them.
			a, b := candidate(t, l, "/q", "a"), candidate(t, l, "/q", "b")
			started := make(chan error, 2)
			for _, n := range []*locked.Node{a, b} {
				go func() { started <- n.Start(t.Context()) }()
			}
			eventually(t, "both are starting", func() bool { return len(l.Stats().Nodes) == 2 })
			took := hitch.Ran(func() {
				if err := l.Close(patient(t)); err != nil {
					t.Error(err)
				}
			})
			if took > 10*timeout {
				t.Error("close took", took)
			}
			for range 2 {
				if err := <-started; err == nil {
					t.Error("started")
				}
			}
		})
	}

	// With a password New must ask for a token, and so says it itself.
	t.Run("with auth", func(t *testing.T) {
		t.Parallel()
		endpoint := deadEndpoint(t)
		var err error
		took := hitch.Ran(func() {
			_, err = locked.New(endpoint, locked.WithAuth("user", "password"), locked.WithRequestTimeout(300*time.Millisecond))
		})
		if err == nil || !strings.Contains(err.Error(), endpoint) || strings.Contains(err.Error(), "password") {
			t.Error(err)
		}
		if took > 5*time.Second {
			t.Error("took", took)
		}
	})
}

// A start that fails can be repeated when etcd is there.
func TestStartLater(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{DataDir: t.TempDir()})
	l := locker(t, e.Endpoint(), locked.WithRequestTimeout(300*time.Millisecond))
	n := candidate(t, l, "/p", "n")
	events := listen(t, n)
	e.stop()
	for range 2 {
		if err := n.Start(t.Context()); err == nil {
			t.Fatal("started")
		}
	}
	e.start()
	eventually(t, "started", func() bool { return n.Start(t.Context()) == nil })
	events.await(locked.EventSelect)
}

// Whoever asks for the leader of an election that has none is told so.
func TestNoLeader(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	if _, err := l.Leader(t.Context(), "/p"); err != locked.ErrNoLeader {
		t.Error(err)
	}
	if c, err := l.Candidates(t.Context(), "/p"); err != nil || len(c) != 0 {
		t.Error(c, err)
	}
	if all, err := l.Elections(t.Context(), "/p"); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	if err := l.Transfer(t.Context(), "/p", ""); !errors.Is(err, locked.ErrNoLeader) {
		t.Error(err)
	}
	n := candidate(t, l, "/p", "n")
	stop(t, n) // does nothing
	if n.ID() != "" || n.IsSelected() {
		t.Error(n.Leader())
	}
}
