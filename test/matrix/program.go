package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/samcday/locked/internal/server/etcdtest"
)

// program is a test program, or a part of one. Quick are the flags that it has besides where there is little time, nil if it
// is left out then.
type program struct {
	name, pkg    string
	flags, quick []string
}

var asAlways = []string{}

// Those that take longest come first.
var programs = []program{
	{"library", "./test", []string{"-long", "-test.skip=^TestLaw2EtcdLeader|StaleReadIndex"}, []string{"-long=false"}},
	{"agent", "./cmd/internal/agent", nil, asAlways},
	{"clusters", "./test", []string{"-test.run=^TestLaw2EtcdLeader|StaleReadIndex"}, asAlways},
	{"command", "./cmd/locked", nil, []string{"-test.skip=^TestRunSuspended$|^TestLaw7RunChaos$"}}, // the one suspends a terminal, the other takes long
	{"page", "./cmd/internal/agent/page", nil, nil},
	{"harness, members", "./internal/server/cluster", []string{"-test.run=^TestProgram"}, asAlways},
	{"harness", "./internal/server/etcdtest", nil, asAlways},
}

const (
	testLimit = 5 * time.Minute
	lingering = 10 * time.Second // for whoever a test has left behind, with its output open
	command   = "./cmd/locked"
)

// machine has built what is run.
type machine struct {
	dir  string
	dirs map[string]string // where each package is, in which its tests must run
}

func (m *machine) build(ctx context.Context) error {
	m.dirs = map[string]string{}
	for _, p := range programs {
		if m.dirs[p.pkg] != "" {
			continue
		}
		dir, err := exec.CommandContext(ctx, "go", "list", "-f={{.Dir}}", p.pkg).Output()
		if err != nil {
			return fmt.Errorf("go list %s: %w", p.pkg, err)
		}
		m.dirs[p.pkg] = strings.TrimSpace(string(dir))
		if err := goRun(ctx, "test", "-c", "-o", m.binary(p.pkg), p.pkg); err != nil {
			return err
		}
	}
	return goRun(ctx, "build", "-o", m.locked(), command)
}

func goRun(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (m *machine) binary(pkg string) string {
	return filepath.Join(m.dir, strings.NewReplacer("/", "_", ".", "").Replace(pkg)+".test")
}

func (m *machine) locked() string { return filepath.Join(m.dir, "locked") }

// against runs the tests against a release.
func (p program) against(m *machine, version string, quick bool) func(context.Context) (string, bool) {
	args := append([]string{"-test.v", "-test.timeout=" + testLimit.String()}, p.flags...)
	if quick && p.quick == nil {
		return nil
	} else if quick {
		args = append(args, p.quick...)
	}
	return func(ctx context.Context) (string, bool) {
		cmd := exec.CommandContext(ctx, m.binary(p.pkg), args...)
		cmd.Dir = m.dirs[p.pkg]
		output, err := m.logged(cmd, version, p.name)
		text := summary(output)
		if err != nil && !strings.HasPrefix(text, failure) {
			text = fmt.Sprintf("%s: %v; %s", failure, err, text)
		}
		return text, err == nil
	}
}

// logged runs a command, and writes what it prints to a file. What it leaves in its temporary directory is removed.
func (m *machine) logged(cmd *exec.Cmd, version, name string) (output []byte, err error) {
	scratch, err := os.MkdirTemp("", "matrix") // short: there will be sockets in it
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	cmd.Env = append(cmd.Environ(), "TMPDIR="+scratch, etcdtest.Variable+"="+version)
	cmd.WaitDelay = lingering
	output, err = cmd.CombinedOutput()
	file := version + "-" + strings.ReplaceAll(name, ", ", "-") + ".log"
	return output, errors.Join(err, os.WriteFile(filepath.Join(m.dir, file), output, 0o600))
}

// chaos is put to a cluster of the release. What happens is a matter of luck, too, so a run that has seen too little to know is
// followed by one with another seed.
func (m *machine) chaos(etcd, version string, d time.Duration) func(context.Context) (string, bool) {
	return func(ctx context.Context) (text string, ok bool) {
		for seed := range 3 {
			cmd := exec.CommandContext(ctx, m.locked(), "chaos", "--etcd", etcd, "--duration", d.String(), "--seed", fmt.Sprint(seed+1))
			output, err := m.logged(cmd, version, "chaos")
			switch code := cmd.ProcessState.ExitCode(); {
			case err == nil:
				return "ok" + text, true
			case code == 2:
				text += fmt.Sprintf(", after seed %d had shown too little", seed+1)
			case code == 1:
				return failure + ": promises were broken" + text, false
			default:
				return fmt.Sprintf("%s: %v: %s", failure, err, lastLine(output)), false
			}
		}
		return failure + ": nothing is known" + text, false
	}
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return lines[len(lines)-1]
}
