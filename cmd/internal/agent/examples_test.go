package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	proc "github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/hitch"
)

// printedLine is one that a program has printed.
type printedLine struct {
	text string
	at   time.Time
}

// program is an example that runs.
type program struct {
	*proc.Process
	t     *testing.T
	lines chan printedLine
}

func startExample(t *testing.T, interpreter, file string, env ...string) *program {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("../../../examples/agent", file))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, lines: make(chan printedLine, 1000)}
	cmd := exec.Command(interpreter, file, "web", "example", "its value")
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	cmd.Stderr = testLog{t}
	cmd.WaitDelay = time.Second
	p.Process, err = proc.Start(cmd, func(line string) { p.lines <- printedLine{line, time.Now()} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// await waits for the next line, which must begin with that.
func (p *program) await(prefix string) printedLine {
	p.t.Helper()
	select {
	case l := <-p.lines:
		if !strings.HasPrefix(l.text, prefix) {
			p.t.Fatalf("it printed %q, want %q", l.text, prefix)
		}
		return l
	case <-time.After(patience):
		p.t.Fatalf("it did not print %q", prefix)
	}
	panic("not reached")
}

// The examples take part, stop when they are told to, stop by themselves when the agent goes silent, before anybody else is
// elected, and come back; also when the agent itself has ended, and there is another one.
func TestExamples(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the examples read /proc/uptime")
	}
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	for file, interpreter := range map[string]string{"candidate.py": "python3", "candidate.mjs": "node", "candidate.sh": "bash"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			needed := []string{interpreter}
			if interpreter == "bash" {
				needed = append(needed, "curl", "sed")
			}
			for _, program := range needed {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("there is no %s here", program)
				}
			}
			testExample(t, interpreter, file)
		})
	}
}

func testExample(t *testing.T, interpreter, file string) {
	etcd := testEtcd(t)
	arg := etcd.Endpoints()[0] + " " + hitch.Addr(t)
	beside, out := child(t, "agent", arg)
	if !out.Scan() {
		t.Fatal("the agent did not start")
	}
	s := serverOn(t, etcd) // another one
	p := startExample(t, interpreter, file, "LOCKED_AGENT="+out.Text(), "LOCKED_TTL=15s")
	p.await("lead ")
	b := s.campaign("web", "b")
	b.awaitWhere("change", func(e event) bool { return e.data["value"] == "its value" })
	b.waits()

	// It is told.
	s.want(200, "POST", "/v1/elections/web/transfer", "id=b")
	p.await("stop transferred")
	b.await("select")
	go func() {
		ended := b.await("deselect")
		s.want(204, "POST", "/v1/elections/web/release", fmt.Sprintf("candidacy=%s&token=%d", b.candidacy, ended.number("token")))
	}()
	s.want(200, "POST", "/v1/elections/web/transfer", "id=example")
	p.await("lead ")

	// It is told nothing any more.
	if err := beside.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := p.await("stop the agent is silent")
	if elected := b.await("select"); elected.at.Before(stopped.at) {
		t.Errorf("it stopped %v after the next one was elected", stopped.at.Sub(elected.at))
	}
	if err := beside.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.close()
	p.await("lead ")

	// The agent ends, and another one takes its place.
	if err := beside.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await("stop stopped")
	if out.Scan() {
		t.Errorf("the agent printed %q", out.Text())
	}
	if _, out := child(t, "agent", arg); !out.Scan() {
		t.Fatal("the agent did not start again")
	}
	p.await("lead ")

	// It is asked to end, or crashes.
	c := s.campaign("web", "c")
	c.await("change")
	p.Signal(map[bool]os.Signal{true: os.Interrupt, false: os.Kill}[interpreter == "bash"])
	c.await("select")
}
