//go:build linux

package locked

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// The test binary runs itself again as other programs: members of an etcd cluster, and a client. They are processes, so
// that they can be stopped by a signal.

const (
	roleVar     = "LOCKED_TEST_ROLE"     // what a process is to be; nothing in the test itself
	settingsVar = "LOCKED_TEST_SETTINGS" // of that role, as JSON
)

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

func readSettings(settings any) error {
	return json.Unmarshal([]byte(os.Getenv(settingsVar)), settings)
}

// awaitRelease returns when the test closes the standard input of this process, or is gone.
func awaitRelease() { io.Copy(io.Discard, os.Stdin) }

// process is a run of the test binary in a role. It does not outlive the test, however that ends.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	lines  []string // of its standard output
	killed bool
}

func startProcess(t testing.TB, role string, settings any, env ...string) *process {
	t.Helper()
	encoded, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVar+"="+role, settingsVar+"="+string(encoded))
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(out io.Reader) {
	defer close(p.done)
	for s := bufio.NewScanner(out); s.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !p.killed {
		p.t.Errorf("process %d ended: %v", p.cmd.Process.Pid, err)
	}
}

// output gives the lines that it has written, from the first that is wanted on.
func (p *process) output(first int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[first:]
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("process %d: %v: %v", p.cmd.Process.Pid, s, err)
	}
}

// pause stops the process as it stands, until it is resumed.
func (p *process) pause()  { p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.signal(syscall.SIGCONT) }

// release tells it to end by itself, and waits for that.
func (p *process) release() {
	p.t.Helper()
	p.in.Close()
	within(p.t, p.done, "the end of a process")
}

func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.cmd.Process.Kill()
	<-p.done
}
