//go:build linux

package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Process is a run of this program in a role: its first line of standard input are its settings, and it ends when that
// input does. So it does not outlive whoever started it; a stopped one is killed then. Or it is one of an etcd program, which
// reads nothing.
type Process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser // nil if it reads nothing
	done chan struct{}
	mu   sync.Mutex // of writes to in
}

// Command is how to run a role.
type Command struct {
	Path   string   // of the program
	Args   []string // from the name by which it is called on
	Env    []string // besides that of this process
	Stderr io.Writer
}

// Run starts a process with settings, which become JSON, and passes each line that it writes to told.
func Run(c Command, settings any, told func(line string)) (*Process, error) {
	first, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(c.Path, c.Args[1:]...), done: make(chan struct{})}
	p.cmd.Args[0] = c.Args[0]
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stderr = c.Stderr
	// In a group of its own an interrupt from the terminal does not reach it: whoever started it decides.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait(func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			told(s.Text())
		}
	})
	return p, p.Tell(string(first))
}

// begin starts a process that reads nothing, and tells nothing.
func begin(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait(func() {})
	return p, nil
}

func (p *Process) wait(listen func()) {
	defer close(p.done)
	listen()
	_ = p.cmd.Wait() // the state says it
}

// Settings reads those of the role that this process is.
func Settings(stdin *bufio.Reader, into any) error {
	line, err := stdin.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no settings: this command is for the one that runs it, and ends with it: %w", err)
	}
	return json.Unmarshal(line, into)
}

// Tell writes a line to the process.
func (p *Process) Tell(line string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.in, line+"\n")
	return err
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Succeeded reports whether the process, which has ended, did so with code 0.
func (p *Process) Succeeded() bool { return p.cmd.ProcessState.Success() }

// Pause stops the process as it stands, until Resume.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a stopped process go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Kill ends the process without asking it, and waits until it has gone.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
	if p.in != nil {
		_ = p.in.Close() // nobody reads it any more
	}
}

// Release closes the process's input, at which it ends by itself.
func (p *Process) Release() { _ = p.in.Close() } // it may have ended already

func (p *Process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("signal %v to our own process %d: %v", s, p.PID(), err)) // it is our child
	}
}
