package guard

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// waitFlags are for taking leave of any child, however it was made.
const waitFlags = unix.WNOHANG | unix.WUNTRACED | unix.WALL

// tree is a program and all that descends from it.
type tree struct {
	pid    int // of the program, and its process group; 0 before it was started
	reaped bool
	within cgroup
}

// adopt makes processes that have lost their parent ours, if they descend from us.
func adopt() {
	// It cannot fail since Linux 3.4; without it the group alone would be reached.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// plant starts a program, which dies with the thread that calls this.
func plant(p *Program) (tree, error) {
	t := tree{within: newCgroup()}
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	process, err := t.within.start(p, attr)
	if err != nil {
		t.within.remove()
		return t, err
	}
	t.pid = process.Pid
	_ = process.Release() // it is waited for with all others
	return t, nil
}

func (t *tree) running() bool { return t.pid != 0 }

func (t *tree) cgroup() string { return t.within.dir }

// alive is asked when there are no children: nothing else could be.
func (t *tree) alive() bool { return false }

// group signals the program's process group.
func (t *tree) group(s syscall.Signal) {
	if t.pid != 0 && !t.reaped { // else the number may be somebody else's by now
		_ = syscall.Kill(-t.pid, s)
	}
}

// ask sends TERM to all, and makes those that are stopped take it.
func (t *tree) ask() {
	t.group(syscall.SIGTERM)
	t.group(syscall.SIGCONT)
	for _, p := range descendants(os.Getpid()) {
		if p.group != t.pid || t.reaped {
			p.signal(syscall.SIGTERM)
			p.signal(syscall.SIGCONT)
		}
	}
}

// kill sends KILL to all.
func (t *tree) kill() {
	t.within.kill()
	t.group(syscall.SIGKILL)
	for _, p := range descendants(os.Getpid()) {
		p.signal(syscall.SIGKILL)
	}
}

// left are the processes that live.
func (t *tree) left() (pids []int) {
	for _, p := range descendants(os.Getpid()) {
		if !p.zombie {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func (t *tree) release() { t.within.remove() }

// process is one as /proc shows it.
type process struct {
	pid, parent, group int
	zombie             bool   // its first thread at least
	began              string // distinguishes it from a later one of the same number
}

// descendants finds the processes below one.
func descendants(root int) []process {
	all := map[int][]process{}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := inspect(pid); ok {
				all[p.parent] = append(all[p.parent], p)
			}
		}
	}
	found := all[root]
	for i := 0; i < len(found); i++ {
		found = append(found, all[found[i].pid]...)
	}
	return found
}

// parent is 0 for a process that is gone.
func parent(pid int) int {
	p, _ := inspect(pid)
	return p.parent
}

// inspect reads /proc/PID/stat: the name stands in parentheses, and may contain some.
func inspect(pid int) (process, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return process{}, false
	}
	p := process{pid: pid, zombie: fields[0][0] == 'Z' || fields[0][0] == 'X', began: string(fields[19])}
	p.parent, _ = strconv.Atoi(string(fields[1]))
	p.group, _ = strconv.Atoi(string(fields[2]))
	return p, true
}

// signal signals the process, and not another one that has got its number meanwhile.
func (p process) signal(s syscall.Signal) {
	handle, err := os.FindProcess(p.pid) // a pidfd, where the kernel has them
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	if now, ok := inspect(p.pid); ok && now.began == p.began {
		_ = handle.Signal(s)
	}
}

// leave is held by who takes leave of the dead, so that none disappears while another looks who is left.
var leave sync.Mutex

// Reap takes leave of processes that have become ours because we are a subreaper, and have ended. Our own children, which
// somebody waits for, are known by leading a process group each.
func Reap() {
	leave.Lock()
	defer leave.Unlock()
	for _, p := range descendants(os.Getpid()) {
		if p.zombie && p.parent == os.Getpid() && p.group != p.pid {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		}
	}
}

// killRest kills what a guard that is dead has left to us, and reports whether there was any.
func (r Report) killRest() bool {
	leave.Lock()
	defer leave.Unlock()
	c := cgroup{dir: r.Cgroup}
	c.kill()
	all := descendants(os.Getpid())
	for _, p := range all {
		if p.zombie && p.parent == os.Getpid() {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		}
		p.signal(syscall.SIGKILL)
	}
	if len(all) == 0 {
		c.remove()
	}
	return len(all) > 0
}
