package guard

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// waitFlags are for taking leave of any child.
const waitFlags = unix.WNOHANG | unix.WUNTRACED

// tree is a program and its process group.
type tree struct {
	pid    int // of the program, and its process group; 0 before it was started
	reaped bool
}

// adopt does nothing: there are no subreapers here.
func adopt() {}

func plant(p *Program) (tree, error) {
	process, err := os.StartProcess(p.Path, p.Args, &os.ProcAttr{
		Env: p.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return tree{}, err
	}
	t := tree{pid: process.Pid}
	_ = process.Release() // it is waited for with all others
	return t, nil
}

func (t *tree) running() bool { return t.pid != 0 }

func (t *tree) cgroup() string { return "" }

// alive reports whether anybody is left in the group.
func (t *tree) alive() bool { return syscall.Kill(-t.pid, 0) == nil }

// group signals the process group. Its number is nobody else's as long as anybody is in it.
func (t *tree) group(s syscall.Signal) { _ = syscall.Kill(-t.pid, s) }

func (t *tree) ask() {
	t.group(syscall.SIGTERM)
	t.group(syscall.SIGCONT)
}

func (t *tree) kill() { t.group(syscall.SIGKILL) }

func (t *tree) left() []int {
	if t.alive() {
		return []int{t.pid}
	}
	return nil
}

func (t *tree) release() {}

// parent is known of ourselves only.
func parent(pid int) int {
	if pid == os.Getpid() {
		return os.Getppid()
	}
	return 0
}

// Reap has nothing to do: nobody's processes become ours.
func Reap() {}

// killRest kills what a guard that is dead has left, and reports whether there was any.
func (r Report) killRest() bool {
	return r.Started != 0 && syscall.Kill(-r.Started, syscall.SIGKILL) == nil
}
