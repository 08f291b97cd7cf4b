package demo

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/faultproxy"
)

// candidate is one candidate of the demo: a process of its own, running "locked campaign".
type candidate struct {
	name, value string
	network     *faultproxy.Proxy // to etcd
	journal     *journal

	process *child.Process
	gone    chan struct{} // closed when the process has ended, and that is in the journal
	dying   atomic.Bool   // it was told to end
}

func newCandidate(name, value string, network *faultproxy.Proxy, j *journal) *candidate {
	return &candidate{name: name, value: value, network: network, journal: j}
}

// start runs the process, and writes down what it tells. It ends by itself when we do: its standard input ends then.
func (a *candidate) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, "campaign", "--id", a.name, "--value", a.value, "--ttl", ttl.String(), "--endpoints", a.network.Addr(),
		"--command-timeout", ttl.String(), "--output", "json", "--verbose", "--stop-on-eof", path)
	cmd.Args[0] = os.Args[0]
	cmd.Env = withoutOurs(os.Environ())
	cmd.Stderr = os.Stderr
	a.dying.Store(false)
	p, err := child.Start(cmd, a.told)
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	a.process, a.gone = p, gone
	go func() {
		defer close(gone)
		<-p.Done()
		r := record{who: a.name, Kind: failed, Cause: p.State().String(), At: time.Now()}
		if a.dying.Load() {
			r.Kind = ended
		}
		a.journal.add(r)
	}()
	return nil
}

// told writes down what the process tells.
func (a *candidate) told(line string) {
	r := record{who: a.name}
	if json.Unmarshal([]byte(line), &r) == nil {
		a.journal.add(r)
	}
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

func (a *candidate) pid() int { return a.process.PID() }

// terminate asks the process to end, as a service manager does.
func (a *candidate) terminate() {
	a.dying.Store(true)
	a.process.Terminate()
}

// kill ends the process without asking it.
func (a *candidate) kill() {
	if a.process != nil {
		a.dying.Store(true)
		a.process.Kill()
	}
}

// close ends the process, waits until all that it told is in the journal, and takes its network down.
func (a *candidate) close() {
	a.kill()
	if a.gone != nil {
		<-a.gone
	}
	a.network.Close()
}
