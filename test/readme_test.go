package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Law 11: the README's programs end soon after one Ctrl-C, whatever has become of etcd.
func TestReadmeEndsAtOnce(t *testing.T) {
	notShort(t)
	t.Parallel()
	recipes := buildRecipes(t)
	for state, change := range map[string]func(e *etcdServer, w wire){
		"up":       func(*etcdServer, wire) {},
		"gone":     func(e *etcdServer, _ wire) { e.stop() },
		"silent":   func(_ *etcdServer, w wire) { w.cut() },
		"replaced": func(e *etcdServer, _ wire) { e.replace() },
	} {
		for recipe, program := range recipes {
			t.Run(recipe+", etcd "+state, func(t *testing.T) {
				t.Parallel()
				e := server(t, etcdserver.Config{})
				w := newWire(t, e)
				endsAtOnce(t, recipe, program, w.endpoint(), func() { change(e, w) })
				if state == "gone" { // what it has left is there again
					e.soiled = true
					e.start()
				}
			})
		}
	}
}

// endsAtOnce runs a program until it leads, lets something happen to etcd, and interrupts it.
func endsAtOnce(t *testing.T, recipe, program, endpoint string, change func()) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, endpoint)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	client := dial(t, clientv3.Config{Endpoints: []string{endpoint}})
	done := map[string]string{"node": "/web", "lead": "/jobs/owner"}[recipe] // what it has put in the end
	eventually(t, "the program leads", func() bool {
		got, err := client.Get(t.Context(), done)
		return err == nil && len(got.Kvs) > 0
	})
	change()
	time.Sleep(100 * time.Millisecond) // as somebody does who has seen it
	interrupted := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	within(t, ended, "the end of the program")
	if took := time.Since(interrupted); took > locked.DefaultRequestTimeout+time.Second+lateness {
		t.Errorf("it ended after %v\n%s", took, out.String())
	}
}

// buildRecipes makes programs of the README's code, as it stands there.
func buildRecipes(t *testing.T) map[string]string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	node := codeBelow(t, string(readme), "### A node in Go")
	lead := codeBelow(t, string(readme), "### Run this on exactly one server")
	setup, _, ok := strings.Cut(node, "events := ")
	if !ok {
		t.Fatal("the README's node does not listen")
	}
	dir, err := os.MkdirTemp(".", "readme-") // in this module
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	programs := map[string]string{}
	for name, body := range map[string]string{"node": node + "return nil", "lead": setup + lead + "return err"} {
		body = strings.ReplaceAll(body, `"127.0.0.1:2379"`, "os.Args[1]")
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "main.go"), fmt.Appendf(nil, recipeProgram, body), 0o644); err != nil {
			t.Fatal(err)
		}
		programs[name] = filepath.Join(t.TempDir(), name)
		build := exec.CommandContext(t.Context(), "go", "build", "-o", programs[name], "./"+folder)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, out, body)
		}
	}
	return programs
}

// recipeProgram is what the README leaves out.
const recipeProgram = `package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/samcday/locked"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var _, _, _ = time.Second, errors.Is, clientv3.OpPut

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Println(run(ctx))
}

func run(ctx context.Context) error {
%s
}
`

// codeBelow gives the first Go code below a heading.
func codeBelow(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, heading+"\n")
	_, rest, _ = strings.Cut(rest, "```go\n")
	code, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("no code below %q", heading)
	}
	return code
}

// Stop, Close and Transfer refuse the function that they would wait for.
func TestWaitingForOneself(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	n := candidate(t, l, "/p", "n")
	other := candidate(t, l, "/q", "other")
	start(t, other)
	ctx := context.Background()
	err := n.Lead(t.Context(), func(context.Context, *locked.Term) error {
		for call, err := range map[string]error{"Stop": n.Stop(ctx), "Close": l.Close(ctx), "Transfer": l.Transfer(ctx, "/p", "")} {
			if err != locked.ErrInLead {
				t.Errorf("%s: %v, want %v", call, err, locked.ErrInLead)
			}
		}
		stop(t, other) // waits for nothing of ours
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Law 11: a Close whose context has ended hands over all the same, as after a signal: it bounds the wait for work alone.
func TestCloseWithEndedContext(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	l, err := locked.New(e.Endpoint(), testOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	first, next := candidateFor(t, l, "/p", "first", time.Minute), candidateFor(t, locker(t, e.Endpoint()), "/p", "next", time.Minute)
	heard := listen(t, next)
	start(t, first, next)
	awaitQueued(t, l, "/p", "next")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	heard.await(locked.EventSelect)
}
