package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/server/faultproxy"
)

// actor is one candidate of the demo: a process of its own, running "locked campaign".
type actor struct {
	name, value string
	network     *faultproxy.Proxy // to etcd
	journal     *journal

	process *exec.Cmd
	stdin   io.Closer
	gone    chan struct{} // closed when the process has ended
	dying   atomic.Bool   // it was told to end
}

func newActor(name, value string, network *faultproxy.Proxy, j *journal) *actor {
	return &actor{name: name, value: value, network: network, journal: j}
}

// start runs the process, and writes down what it tells. It ends by itself when we do: its standard input ends then.
func (a *actor) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, "campaign", "--id", a.name, "--value", a.value, "--ttl", demoTTL.String(), "--endpoints", a.network.Addr(),
		"--command-timeout", demoTTL.String(), "--output", "json", "--verbose", "--stop-on-eof", demoPath)
	cmd.Args[0] = os.Args[0]
	cmd.Env = withoutOurs(os.Environ())
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if a.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	a.process, a.gone = cmd, make(chan struct{})
	a.dying.Store(false)
	go a.listen(cmd, stdout, a.gone)
	return nil
}

// withoutOurs leaves out the variables that say how to reach an etcd: the candidates shall reach ours.
func withoutOurs(environ []string) []string {
	var out []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "LOCKED_") && !strings.HasPrefix(v, "ETCDCTL_") {
			out = append(out, v)
		}
	}
	return out
}

func (a *actor) listen(cmd *exec.Cmd, stdout io.Reader, gone chan struct{}) {
	defer close(gone)
	for d := json.NewDecoder(stdout); ; {
		r := record{who: a.name}
		if err := d.Decode(&r); err != nil {
			break // it ends, or was killed in the middle of a line
		}
		a.journal.add(r)
	}
	_ = cmd.Wait() // the state says it
	r := record{who: a.name, Kind: failed, Cause: cmd.ProcessState.String(), At: time.Now()}
	if a.dying.Load() {
		r.Kind = ended
	}
	a.journal.add(r)
}

func (a *actor) pid() int { return a.process.Process.Pid }

// terminate asks the process to end, as a service manager does.
func (a *actor) terminate() {
	a.dying.Store(true)
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		_ = a.stdin.Close() // where there is no such signal
	}
}

// kill ends the process without asking it.
func (a *actor) kill() {
	if a.process != nil {
		a.dying.Store(true)
		_ = a.process.Process.Kill() // it may have ended already
	}
}

// close ends the process, waits until all that it told is in the journal, and takes its network down.
func (a *actor) close() {
	a.kill()
	if a.gone != nil {
		<-a.gone
	}
	a.network.Close()
}
