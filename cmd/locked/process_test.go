package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/samcday/locked/internal/server/child"
)

// patience is how long a script waits for something that must come: it says that a test has failed, and nothing else.
const patience = 3 * time.Minute

var signals = map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}

type processesKey struct{}

// process is a command that runs beside a script.
type process struct {
	*child.Process
	cmd            *exec.Cmd
	stdout, stderr *printed
}

// launch starts the command. Words before it that set variables are for its environment, as in a shell.
func launch(ts *testscript.TestScript, command []string) *process {
	env := []string{
		"GORACE=atexit_sleep_ms=0",  // else each end takes a second longer with the race detector
		"LOCKED_COMMAND_TIMEOUT=1m", // longer than any hitch of the machine
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	for len(command) > 1 && strings.Contains(command[0], "=") {
		env, command = append(env, command[0]), command[1:]
	}
	p := &process{cmd: exec.Command(command[0], command[1:]...), stdout: newPrinted(), stderr: newPrinted()}
	p.cmd.Dir, p.cmd.Env = ts.MkAbs("."), env
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	var err error
	p.Process, err = child.Start(p.cmd, nil)
	ts.Check(err)
	ts.Defer(p.Kill)
	return p
}

func named(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("%s was not started", name)
	}
	return p
}

// ends waits until nobody holds the process's stdout and stderr any more: until its children have ended too.
func (p *process) ends(ts *testscript.TestScript, code int) {
	select {
	case <-p.Done():
	case <-time.After(patience):
		ts.Fatalf("%v has not ended within %v\n%s%s", p.cmd.Args, patience, p.stdout, p.stderr)
	}
	_, _ = ts.Stdout().Write(p.stdout.bytes())
	_, _ = ts.Stderr().Write(p.stderr.bytes())
	if got := p.State().ExitCode(); got != code {
		ts.Fatalf("exit code %d, want %d\n%s%s", got, code, p.stdout, p.stderr)
	}
}

func (p *process) expect(ts *testscript.TestScript, pattern string) []string {
	found := p.await(ts, pattern)
	if found == nil {
		ts.Fatalf("%v has ended (%v) without %q\n%s%s", p.cmd.Args, p.State(), pattern, p.stdout, p.stderr)
	}
	return found
}

// await gives nil if the process has ended without a match.
func (p *process) await(ts *testscript.TestScript, pattern string) []string {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	late := time.After(patience)
	for {
		found, more := p.stdout.find(re)
		if found != nil {
			return found
		}
		select {
		case <-more:
		case <-p.Done():
			found, _ := p.stdout.find(re)
			return found
		case <-late:
			ts.Fatalf("%v has not printed %q within %v\n%s%s", p.cmd.Args, pattern, patience, p.stdout, p.stderr)
		}
	}
}

// printed is what a process has printed so far.
type printed struct {
	mu     sync.Mutex
	text   bytes.Buffer
	place  int // behind what was found last
	more   chan struct{}
	closed bool
}

func newPrinted() *printed { return &printed{more: make(chan struct{})} }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, errors.New("nobody reads")
	}
	close(p.more)
	p.more = make(chan struct{})
	return p.text.Write(b)
}

func (p *printed) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func (p *printed) find(re *regexp.Regexp) (found []string, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := p.text.Bytes()[p.place:]
	if at := re.FindSubmatchIndex(rest); at != nil {
		for _, group := range re.FindSubmatch(rest) {
			found = append(found, string(group))
		}
		p.place += at[1]
	}
	return found, p.more
}

func (p *printed) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.text.Bytes())
}

func (p *printed) String() string { return string(p.bytes()) }
