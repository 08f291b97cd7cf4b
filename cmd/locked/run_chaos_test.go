//go:build linux

package main

import (
	"bytes"
	"context"
	goflag "flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var runChaos = goflag.Duration("run-chaos", 20*time.Second, "how long TestLaw7RunChaos kills and stops; .ci/run gives it a minute")

// Twenty runs of one path, over a while in which they, their guards and their programs are killed and stopped: no two
// programs live at the same time.
func TestLaw7RunChaos(tt *testing.T) {
	if testing.Short() {
		tt.Skip("waits for many seconds: run it without -short")
	}
	tt.Parallel()
	t := newRunTest(tt)
	c := &rampage{runTest: t, start: func() *exec.Cmd {
		command := []string{"record", t.dir}
		if rand.IntN(2) == 0 {
			command = append(command, "stubborn")
		}
		return t.run("--ttl 3s --restart", command...)
	}}
	want := int(*runChaos / (4 * time.Second))
	c.rage(20, func(lasted time.Duration) bool { // a busy machine gets more time
		return lasted > *runChaos && termsOf(t.recorders(0)) >= want || lasted > 4**runChaos
	}, c.harm)
	all := t.recorders(0)
	for _, found := range overlaps(all) {
		t.Error(found)
	}
	terms := termsOf(all)
	t.Logf("%d lifetimes in %d terms; harm done: %v", len(all), terms, c.done)
	if terms < want {
		t.Errorf("only %d terms, want %d: this proves nothing", terms, want)
	}
}

// termsOf counts the terms that programs have lived in.
func termsOf(all []lifetime) int {
	terms := map[int64]bool{}
	for _, l := range all {
		terms[l.Token] = true
	}
	return len(terms)
}

// The same kind of harm, to a lock that is done as etcdctl and others do it: the check above can fail.
func TestChaosFindsOverlaps(tt *testing.T) {
	tt.Parallel()
	t := newRunTest(tt)
	c := &rampage{runTest: t, start: func() *exec.Cmd {
		cmd := exec.Command("etcdlock", t.etcd.Endpoint(), "record", t.dir)
		cmd.Env = t.environment()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}}
	for range 5 { // it is enough if it is found once
		c.rage(3, func(lasted time.Duration) bool { return lasted > 5*time.Second }, func() {
			if run := c.runAbove(c.leader()); run != 0 {
				c.kill(run, "run")
			}
		})
		for _, l := range t.recorders(1) {
			c.kill(l.PID, "holder") // they outlive everybody
		}
		if found := overlaps(t.recorders(1)); len(found) > 0 {
			t.Log(found[0])
			return
		}
	}
	t.Error("no overlap was found")
}

// rampage keeps a number of runs going, and does harm to them.
type rampage struct {
	*runTest
	start func() *exec.Cmd
	runs  []*exec.Cmd
	done  map[string]int

	spared map[int]time.Time // runs that were harmed, until they have come over it
}

func (c *rampage) rage(count int, enough func(lasted time.Duration) bool, harm func()) {
	c.done, c.spared = map[string]int{}, map[int]time.Time{}
	for range count {
		c.runs = append(c.runs, c.start())
	}
	c.recorders(1)
	for began := time.Now(); !enough(time.Since(began)); time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond) {
		harm()
		for i, run := range c.runs {
			if zombie(run.Process.Pid) {
				_ = run.Wait()
				c.runs[i] = c.start()
			}
		}
	}
	for _, run := range c.runs {
		time.Sleep(time.Until(c.spared[run.Process.Pid]))
		_ = run.Process.Kill()
		_ = run.Wait()
	}
	c.runs = nil
}

// harm does something to the run that leads and, if nobody does, rarely to any: whoever is killed while it waits is in
// the way of the others until its lease has ended. One thing at a time to each: nobody promises more.
func (c *rampage) harm() {
	program := c.leader()
	run := c.runAbove(program)
	if run == 0 {
		if rand.IntN(5) > 0 {
			return
		}
		run = c.runs[rand.IntN(len(c.runs))].Process.Pid
	}
	if time.Now().Before(c.spared[run]) {
		return
	}
	pause := time.Duration(rand.IntN(5000)) * time.Millisecond
	guard := 0
	if guards := childrenOf(run); len(guards) > 0 {
		guard = guards[0]
	}
	switch rand.IntN(7) {
	case 0:
		c.kill(run, "run")
	case 1:
		c.stop(run, pause, "run")
		c.spared[run] = time.Now().Add(pause + time.Second)
	case 2:
		c.kill(guard, "guard")
		c.spared[run] = time.Now().Add(time.Second)
	case 3:
		c.stop(guard, pause, "guard")
		c.spared[run] = time.Now().Add(pause + time.Second)
	case 4:
		c.kill(program, "program")
	case 5:
		c.stop(program, pause, "program")
	case 6:
		c.done["TERM run"]++
		_ = syscall.Kill(run, syscall.SIGTERM)
	}
}

// leader is the program that has begun last and lives, 0 if there is none.
func (c *rampage) leader() int {
	all := c.recorders(1)
	for _, l := range slices.Backward(all) {
		if c.ours(l.PID) && !zombie(l.PID) {
			return l.PID
		}
	}
	return 0
}

// runAbove is the run that a process descends from, 0 if there is none.
func (c *rampage) runAbove(pid int) int {
	for ; pid > 1; pid = parentOf(pid) {
		if slices.ContainsFunc(c.runs, func(r *exec.Cmd) bool { return r.Process.Pid == pid }) {
			return pid
		}
	}
	return 0
}

func (c *rampage) kill(pid int, what string) {
	if c.ours(pid) {
		c.done["KILL "+what]++
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (c *rampage) stop(pid int, d time.Duration, what string) {
	if c.ours(pid) {
		c.done["STOP "+what]++
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		time.AfterFunc(d, func() {
			if c.ours(pid) {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		})
	}
}

// ours tells our processes from others that have got the number of a dead one: all have the directory in their environment.
func (c *rampage) ours(pid int) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	return err == nil && bytes.Contains(env, []byte("RECORDS="+c.dir+"\x00"))
}

// parentOf is 0 for a process that is gone.
func parentOf(pid int) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[0] == "Z" {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// etcdLock is a lock command as they are written: a session, a mutex, a child.
func etcdLock() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[1]}})
	if err != nil {
		panic(err)
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(1))
	if err != nil {
		panic(err)
	}
	m := concurrency.NewMutex(session, "/etcdlock/")
	if err := m.Lock(context.Background()); err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Env = append(os.Environ(), "LOCKED_TOKEN="+strconv.FormatInt(m.Header().Revision, 10))
	_ = cmd.Run()
	_ = session.Close()
}
