//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
)

// runTest is an etcd, and runs of the real command there.
type runTest struct {
	*testing.T
	etcd etcdtest.Server
	dir  string // where recorders write
}

func newRunTest(t *testing.T) *runTest {
	s, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &runTest{t, s, t.TempDir()}
}

// run starts "locked run", which is killed at the end of the test.
func (t *runTest) run(flags string, command ...string) *exec.Cmd {
	t.Helper()
	return t.runWith(os.Stderr, flags, command...)
}

func (t *runTest) runWith(stderr *os.File, flags string, command ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{"run", "/run", "--endpoints", t.etcd.Endpoint()}, strings.Fields(flags)...)
	cmd := exec.Command("locked", append(append(args, "--"), command...)...)
	cmd.Env = t.environment()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
	})
	return cmd
}

// environment has the directory in it, by which processes of the test are known.
func (t *runTest) environment() []string {
	return append(os.Environ(), "GORACE=atexit_sleep_ms=0", "RECORDS="+t.dir)
}

// leads starts a run of two recorders, and waits until both have begun: again if the machine held them up until the term was
// over.
func (t *runTest) leads(stderr *os.File, flags string) *exec.Cmd {
	t.Helper()
	for begun := 0; ; begun = len(t.recorders(0)) {
		run := t.runWith(stderr, flags, "record", t.dir, "stubborn")
		for end := time.Now().Add(patience); !zombie(run.Process.Pid); time.Sleep(5 * time.Millisecond) {
			if len(t.recorders(0)) >= begun+2 {
				return run
			}
			if time.Now().After(end) {
				t.Fatal("its recorders do not begin")
			}
		}
	}
}

// recorders waits until as many have begun, and gives their lifetimes.
func (t *runTest) recorders(count int) []lifetime {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := lifetimes(t.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) >= count {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%d recorders, want %d", len(all), count)
		}
	}
}

// vacated waits until etcd says that nobody leads, and gives the reading of the clock when it was so for sure.
func (t *runTest) vacated() time.Duration {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{t.etcd.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		resp, err := c.Get(ctx, "/run")
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Kvs) == 0 {
			return clock.Uptime()
		}
		time.Sleep(time.Millisecond)
	}
}

// died checks that all recorders were dead at a reading of the clock, and says what is wrong.
func (t *runTest) died(count int, before time.Duration) (wrong string) {
	t.Helper()
	for _, l := range t.recorders(count) {
		if l.End >= before {
			wrong = fmt.Sprintf("process %d lived for %v after somebody else could have begun", l.PID, l.End-before)
		}
		if syscall.Kill(l.PID, 0) == nil && !zombie(l.PID) {
			wrong = fmt.Sprintf("process %d lives", l.PID)
		}
	}
	return wrong
}

// mustDie does what says what is wrong, with an etcd of its own, and again where the machine held us up: it may do so until
// a lease has ended, with who must see to it that a program is dead by then.
func mustDie(tt *testing.T, once func(t *runTest) (wrong string)) {
	tt.Parallel()
	hitch.Try(tt, func(int) error {
		if wrong := once(newRunTest(tt)); wrong != "" {
			return errors.New(wrong)
		}
		return nil
	})
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// guardOf is the guard process of a run.
func (t *runTest) guardOf(run int) int {
	t.Helper()
	found := childrenOf(run)
	if len(found) != 1 {
		t.Fatalf("run %d has the children %v, want a guard", run, found)
	}
	return found[0]
}

// childrenOf leaves out those that have just been split off: they are about to become another program, or to end.
func childrenOf(pid int) (found []int) {
	own := commandLine(pid)
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, file := range tasks {
		list, _ := os.ReadFile(file)
		for word := range strings.FieldsSeq(string(list)) {
			child, _ := strconv.Atoi(word)
			if line := commandLine(child); line != "" && line != own {
				found = append(found, child)
			}
		}
	}
	return found
}

// commandLine is empty for a process that has ended.
func commandLine(pid int) string {
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return string(line)
}

func codeOf(t *runTest, cmd *exec.Cmd) int {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("run does not end")
	}
	return cmd.ProcessState.ExitCode()
}

func TestLaw7RunKilled(tt *testing.T) {
	mustDie(tt, func(t *runTest) string {
		run := t.leads(os.Stderr, "--ttl 3s")
		_ = run.Process.Kill()
		return t.died(2, t.vacated())
	})
}

func TestLaw7RunStopped(tt *testing.T) {
	mustDie(tt, func(t *runTest) string {
		run := t.leads(os.Stderr, "--ttl 3s")
		_ = run.Process.Signal(syscall.SIGSTOP)
		wrong := t.died(2, t.vacated())
		_ = run.Process.Signal(syscall.SIGCONT)
		if got := codeOf(t, run); got != exitLost {
			t.Errorf("exit code %d, want %d", got, exitLost)
		}
		return wrong
	})
}

// Nobody reads what is told on stderr, and nothing waits for that.
func TestLaw7Unread(tt *testing.T) {
	tt.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		tt.Run(name, func(tt *testing.T) {
			mustDie(tt, func(t *runTest) string {
				run := t.leads(fullPipe(t.T), "--ttl 3s -v")
				_ = run.Process.Signal(signal)
				return t.died(2, t.vacated())
			})
		})
	}
}

// fullPipe is one that nobody reads, and that nothing more goes into.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	_ = w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err == nil {
		_, err = w.Write([]byte{0})
	}
	return w
}

func TestLaw7GuardKilled(tt *testing.T) {
	mustDie(tt, func(t *runTest) string {
		run := t.leads(os.Stderr, "--ttl 20s") // its guard must still be there
		_ = syscall.Kill(t.guardOf(run.Process.Pid), syscall.SIGKILL)
		wrong := t.died(2, t.vacated())
		if got := codeOf(t, run); got != exitLost {
			t.Errorf("exit code %d, want %d", got, exitLost)
		}
		return wrong
	})
}

// A guard that waits with its run may be killed too: there is another one when it is needed.
func TestGuardKilledWhileWaiting(tt *testing.T) {
	tt.Parallel()
	t := newRunTest(tt)
	t.run("--id a --ttl 1m", "record", t.dir)
	t.recorders(1)
	b := t.run("--id b --ttl 1m", "record", t.dir)
	for len(childrenOf(b.Process.Pid)) == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = syscall.Kill(t.guardOf(b.Process.Pid), syscall.SIGKILL)
	_ = syscall.Kill(t.recorders(1)[0].PID, syscall.SIGTERM)
	t.recorders(2)
}

// Etcd ends under a program: it is dead before its lease would be.
func TestLaw7EtcdGone(tt *testing.T) {
	mustDie(tt, func(t *runTest) string {
		run := t.leads(os.Stderr, "--ttl 3s")
		if err := t.etcd.Close(); err != nil {
			t.Fatal(err)
		}
		gone := clock.Uptime()
		if got := codeOf(t, run); got != exitLost {
			t.Errorf("exit code %d, want %d", got, exitLost)
		}
		return t.died(2, gone+3*time.Second)
	})
}
