//go:build linux

package guard

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/hitch"
)

// The test binary is the guard, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		if len(os.Args) > 2 {
			cgroups = "/proc/self/no-cgroup"
		}
		if err := Main(slog.New(slog.DiscardHandler)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if signal.Ignored(syscall.SIGHUP) { // as nohup leaves it: children must not inherit that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each guard takes a second longer to end with the race detector
	os.Exit(m.Run())
}

const patience = time.Minute

// stubborn is a script that ignores what can be ignored, with a child in its group and one that has left its session. The
// word in its arguments is that by which all are found.
const stubborn = `
trap '' TERM INT HUP
sh -c 'trap "" TERM INT HUP; while :; do sleep 0.02; done' $0 &
setsid sh -c 'trap "" TERM INT HUP; (while :; do sleep 0.02; done) & while :; do sleep 0.02; done' $0 &
while :; do sleep 0.02; done
`

// trapped goes on behind a trap, which cannot be seen: but it has set it when there are two processes with the word.
const trapped = `sh -c "while :; do sleep 0.01; done" $0 & while :; do sleep 0.01; done`

// subject is a program under guard in a test.
type subject struct {
	*testing.T
	guard   *Guard
	word    string
	times   Times
	reports <-chan Report
	until   func() time.Duration
}

// run runs a shell script under guard for as long as until says.
func run(t *testing.T, script string, grace time.Duration, until func() time.Duration, options ...string) *subject {
	t.Helper()
	g, err := New(append([]string{"test", "guard"}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{T: t, guard: g, word: "subject-" + strconv.FormatUint(rand.Uint64(), 36), times: Times{Grace: grace}, until: until}
	program := Program{Path: "/bin/sh", Args: []string{"sh", "-c", script, s.word}, Env: os.Environ()}
	s.reports = g.Run(program, s.times, until)
	t.Cleanup(func() {
		for _, pid := range s.alive() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // a test that has failed leaves nothing behind
		}
	})
	return s
}

// renewed gives a deadline that moves on as time does.
func renewed(ttl time.Duration) func() time.Duration {
	return func() time.Duration { return clock.Uptime() + ttl }
}

// fixed gives a deadline that is never moved.
func fixed(ttl time.Duration) func() time.Duration {
	d := clock.Uptime() + ttl
	return func() time.Duration { return d }
}

func (s *subject) next() Report {
	s.Helper()
	select {
	case r := <-s.reports:
		return r
	case <-time.After(patience):
		s.Fatal("no report")
	}
	return Report{}
}

// started waits until as many processes of the subject live.
func (s *subject) started(processes int) int {
	s.Helper()
	r := s.next()
	if r.Started == 0 {
		s.Fatalf("report %+v, want one of the start", r)
	}
	for end := time.Now().Add(patience); len(s.alive()) < processes; {
		if time.Now().After(end) {
			s.Fatalf("%d processes, want %d", len(s.alive()), processes)
		}
	}
	return r.Started
}

// ended waits for the result.
func (s *subject) ended(why Why) Result {
	s.Helper()
	r := s.next()
	s.over(r)
	if r.Ended.Why != why {
		s.Errorf("ended by %s, want %s", r.Ended.Why, why)
	}
	return *r.Ended
}

// over checks that a report is the last one, and that nothing lives.
func (s *subject) over(r Report) {
	s.Helper()
	if r.Ended == nil {
		s.Fatalf("report %+v, want one of the end", r)
	}
	if left := s.alive(); len(left) > 0 {
		s.Errorf("it has ended, and %d live", len(left))
	}
	if _, more := <-s.reports; more {
		s.Error("a report after the last")
	}
	if !s.guard.Gone() {
		s.Error("the guard is still there")
	}
}

// alive are the processes with the word among their arguments, zombies not counted, which have none.
func (s *subject) alive() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, err := os.ReadFile(f)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && bytes.Contains(line, []byte(s.word)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestItself(t *testing.T) {
	for script, want := range map[string]Result{
		"exit 0":                        {},
		"exit 77":                       {Code: 77},
		"kill -USR1 $$":                 {Code: 138, Signal: 10},
		`trap "exit 3" TERM; kill $$`:   {Code: 3},
		"setsid sleep 1000 & exit 5":    {Code: 5, Leftover: 1},
		"sleep 0 & wait; exit 6":        {Code: 6},
		"exec setsid -w sh -c 'exit 4'": {Code: 4},
	} {
		s := run(t, script, time.Second, renewed(time.Minute))
		s.started(0)
		want.Why = Itself
		if got := s.ended(Itself); got != want {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
}

func TestCannotRun(t *testing.T) {
	for path, notFound := range map[string]bool{"/no/such/program": true, "/etc/passwd": false} {
		g, err := New("test", "guard")
		if err != nil {
			t.Fatal(err)
		}
		r := <-g.Run(Program{Path: path, Args: []string{path}}, Times{Grace: time.Second}, renewed(time.Minute))
		if r.Ended == nil || r.Ended.Error == "" || r.Ended.NotFound != notFound {
			t.Errorf("%s: %+v", path, r.Ended)
		}
	}
}

// Whoever is left over by a program is ended with it, however it tries to get away.
func TestLeftover(t *testing.T) {
	enough := filepath.Join(t.TempDir(), "enough")
	s := run(t, "("+stubborn+") & until test -e "+enough+"; do sleep 0.02; done; exit 9", 300*time.Millisecond, renewed(time.Minute))
	s.started(5)
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.ended(Itself); r.Code != 9 || r.Leftover < 3 {
		t.Errorf("%+v, want code 9 and what was left over", r)
	}
}

func TestStop(t *testing.T) {
	s := run(t, `trap "exit 3" TERM; `+trapped, time.Minute, renewed(time.Hour))
	s.started(2)
	s.guard.Stop()
	if r := s.ended(Asked); r.Code != 3 {
		t.Errorf("%+v, want code 3", r)
	}

	s = run(t, stubborn, 200*time.Millisecond, renewed(time.Minute))
	s.started(4)
	began := clock.Uptime()
	s.guard.Stop()
	if r := s.ended(Asked); r.Signal != int(syscall.SIGKILL) {
		t.Errorf("%+v, want KILL", r)
	}
	if took := clock.Uptime() - began; took < s.times.Grace {
		t.Errorf("killed after %v, before the grace of %v was over", took, s.times.Grace)
	}

	// One that is stopped must be able to hear of it.
	s = run(t, `trap "exit 3" TERM; kill -STOP $$; while :; do sleep 0.01; done`, time.Minute, renewed(time.Hour))
	s.started(1)
	if r := s.next(); r.Paused != int(syscall.SIGSTOP) {
		t.Fatalf("report %+v, want that it was stopped", r)
	}
	s.guard.Stop()
	if r := s.ended(Asked); r.Code != 3 {
		t.Errorf("%+v, want code 3", r)
	}
}

// before runs a stubborn program up to a deadline that is never moved, and sees that all of it is dead by then. Act is done
// when it has started.
func before(t *testing.T, why Why, act func(s *subject, deadline time.Duration)) {
	t.Helper()
	hitch.Try(t, func(int) error {
		deadline := fixed(5 * time.Second)
		s := run(t, stubborn, 2*time.Second, deadline)
		r := s.next()
		if r.Started != 0 {
			for len(s.alive()) < 4 && clock.Uptime() < deadline() {
			}
			act(s, deadline())
			r = s.next()
		}
		late := clock.Uptime() - deadline()
		switch s.over(r); {
		case r.Ended.Why != why || r.Ended.Error != "":
			return fmt.Errorf("%+v, want %s", *r.Ended, why)
		case late > 0:
			return fmt.Errorf("dead %v after the deadline", late)
		}
		return nil
	})
}

// A grace that is longer than the time that is left does not count.
func TestDeadlineBoundsGrace(t *testing.T) {
	before(t, Asked, func(s *subject, deadline time.Duration) {
		time.Sleep(deadline - s.times.Grace - clock.Uptime() - 10*time.Millisecond) // so that less than the grace is left, but the guard has not acted by itself
		s.guard.Stop()
	})
}

// Nobody moves the deadline: everything is dead before it.
func TestExpired(t *testing.T) {
	before(t, Expired, func(*subject, time.Duration) {})
}

func TestTooLate(t *testing.T) {
	s := run(t, "echo never", 5*time.Second, fixed(4*time.Second)) // long enough for the guard to say so on a busy machine
	if r := s.ended(Expired); r.Error == "" {
		t.Errorf("%+v, want an error", r)
	}
}

// A guard that is killed takes the program with it, and its supervisor the rest.
func TestGuardKilled(t *testing.T) {
	for _, options := range [][]string{nil, {"without cgroup"}} {
		s := run(t, stubborn, time.Second, renewed(time.Minute), options...)
		s.started(4)
		_ = s.guard.cmd.Process.Kill()
		s.ended(Unguard)
	}
}

// A guard that is stopped is woken. One that does not wake does not act at the deadline: then its supervisor does.
func TestGuardStopped(t *testing.T) {
	const ttl = 10 * time.Second // longer than any hitch of the machine
	s := run(t, "sleep 1000", 100*time.Millisecond, renewed(ttl))
	s.started(1)
	_ = s.guard.cmd.Process.Signal(syscall.SIGSTOP)
	select {
	case r := <-s.reports:
		t.Fatalf("a guard that was stopped for a moment: %+v", r)
	case <-time.After(ttl + time.Second): // longer than what it had confirmed
	}
	s.guard.Stop()
	s.ended(Asked)

	before(t, Unguard, func(s *subject, _ time.Duration) {
		go func() {
			for !s.guard.Gone() {
				_ = s.guard.cmd.Process.Signal(syscall.SIGSTOP)
				time.Sleep(time.Millisecond)
			}
		}()
	})
}

// A program that forks as fast as it can does not get away, with a cgroup or without.
func TestForks(t *testing.T) {
	for _, options := range [][]string{nil, {"without cgroup"}} {
		s := run(t, `fork() { setsid sh -c 'sleep 1000' $0 & }; while :; do fork $0; sleep 0.001; done`, 200*time.Millisecond,
			renewed(time.Minute), options...)
		s.started(30)
		s.guard.Stop()
		s.ended(Asked)
	}
}

func TestSignal(t *testing.T) {
	s := run(t, `trap "exit 4" HUP; `+trapped, time.Second, renewed(time.Minute))
	s.started(2)
	s.guard.Signal(syscall.SIGHUP)
	if r := s.ended(Itself); r.Code != 4 {
		t.Errorf("%+v, want code 4", r)
	}
}

// Arguments and variables are bytes, and may be many.
func TestBytes(t *testing.T) {
	g, err := New("test", "guard")
	if err != nil {
		t.Fatal(err)
	}
	odd := string([]byte{'<', 0xff, 0xfe, '\n', 0x01})
	p := Program{
		Path: "/bin/sh", Args: []string{"sh", "-c", `[ "$1" = "$ODD" ] && [ ${#LARGE} = 100000 ] && [ -z "$2" ] && exit $#`, "sh", odd, ""},
		Env: []string{"ODD=" + odd, "LARGE=" + strings.Repeat("<", 100000)},
	}
	for i := range 8 { // more than a socket keeps
		p.Env = append(p.Env, fmt.Sprintf("MORE%d=%s", i, strings.Repeat("x", 100000)))
	}
	reports := g.Run(p, Times{Grace: time.Second}, renewed(time.Minute))
	for r := range reports {
		if r.Ended != nil && r.Ended.Code != 2 {
			t.Errorf("%+v, want code 2", r.Ended)
		}
	}
}

// A program is gone when there are no children, also if it was not to be learned how it has ended.
func TestStatusLost(t *testing.T) {
	w := &warden{program: tree{pid: 1 << 30}}
	w.reap()
	if want := (Result{Why: Itself, Code: -1}); !w.gone || w.result != want {
		t.Errorf("gone: %v, %+v, want %+v", w.gone, w.result, want)
	}
	w = new(warden)
	w.reap()
	if w.gone {
		t.Error("gone before there was a program")
	}
}

// Nobody but a supervisor starts a guard.
func TestMainAlone(t *testing.T) {
	g, err := New("test", "guard")
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	if !g.Gone() {
		t.Error("a guard outlives its dismissal")
	}
}
