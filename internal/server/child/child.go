// Package child runs processes that are told things, tell things line by line, and can be stopped, killed and waited for.
package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// Process is a child process.
type Process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser // nil if it reads nothing
	done chan struct{}
	mu   sync.Mutex // of writes to in
}

// Start starts a command. If told is not nil the process is told things by [Process.Tell], and told is called with each line
// that it writes, before [Process.Done] is closed; otherwise its input and output are those of the command.
func Start(cmd *exec.Cmd, told func(line string)) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	var out io.Reader
	if told != nil {
		var err error
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
		if p.in, err = cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		if told != nil {
			readLines(out, told)
		}
		_ = cmd.Wait() // the state says it
	}()
	return p, nil
}

// readLines leaves out what has no end: whoever wrote it was killed.
func readLines(r io.Reader, told func(line string)) {
	for in := bufio.NewReader(r); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		told(strings.TrimSuffix(line, "\n"))
	}
}

// Command is how to run a role: a program that is told its settings on its first line of standard input, and ends when that
// input does. So it does not outlive whoever started it; a stopped one is killed then, on Linux.
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
	cmd := exec.Command(c.Path, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stderr = c.Stderr
	Bind(cmd)
	p, err := Start(cmd, told)
	if err != nil {
		return nil, err
	}
	return p, p.Tell(string(first))
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

// State is how the process, which has ended, did so.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Succeeded reports whether the process, which has ended, did so with code 0.
func (p *Process) Succeeded() bool { return p.State().Success() }

// Kill ends the process without asking it, and waits until it has gone.
func (p *Process) Kill() {
	p.Signal(os.Kill)
	<-p.done
	if p.in != nil {
		_ = p.in.Close() // nobody reads it any more
	}
}

// Terminate asks the process to end, as a service manager does. Where there is no such signal its input is closed.
func (p *Process) Terminate() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && p.in != nil {
		p.Release()
	}
}

// Release closes the process's input, at which it ends by itself.
func (p *Process) Release() { _ = p.in.Close() } // it may have ended already

// Signal sends the process a signal, unless it has ended.
func (p *Process) Signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("signal %v to our own process %d: %v", s, p.PID(), err)) // it is our child
	}
}
