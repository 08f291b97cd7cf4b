//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/samcday/locked/internal/server/child"
)

// The test binary runs itself again as other programs: members of an etcd cluster, and a client. They are processes, so
// that they can be stopped by a signal.

const roleVar = "LOCKED_TEST_ROLE" // what a process is to be; nothing in the test itself

// A process that has a role ends here, before a test begins.
func init() {
	var run func() error
	switch role := os.Getenv(roleVar); role {
	case "":
		return
	case "member":
		run = runMember
	case "client":
		run = runClient
	default:
		run = func() error { return fmt.Errorf("no such role: %q", role) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func role(name string) child.Command {
	return child.Command{Path: os.Args[0], Args: os.Args[:1], Env: []string{roleVar + "=" + name}, Stderr: os.Stderr}
}

// readSettings reads those of this process. Released is called when the test closes its input, or is gone.
func readSettings(settings any, released func()) error {
	in := bufio.NewReader(os.Stdin)
	if err := child.Settings(in, settings); err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, in)
		released()
	}()
	return nil
}

// process is a run of the test binary in a role. It does not outlive the test, however that ends.
type process struct {
	*child.Process
	t testing.TB

	mu    sync.Mutex
	lines []string // of its standard output
}

func startProcess(t testing.TB, name string, settings any) *process {
	t.Helper()
	p := &process{t: t}
	var err error
	p.Process, err = child.Run(role(name), settings, func(line string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// output gives the lines that it has written, from the first that is wanted on.
func (p *process) output(first int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[first:]
}

// release tells it to end by itself, waits for that, and looks whether it did so cleanly.
func (p *process) release() {
	p.t.Helper()
	p.Release()
	within(p.t, p.Done(), "the end of a process")
	if !p.Succeeded() {
		p.t.Errorf("process %d failed", p.PID())
	}
}
