package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// freezer stops processes by a control group of their own, as container runtimes do. Nothing in the process can notice,
// and no signal but a kill gets through.
type freezer struct {
	base          string // the directory of our own group
	state         string // the file that freezes
	frozen, going string // what is written to it
}

// newFreezer finds a hierarchy that can be used, or says why there is none.
func newFreezer() (*freezer, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	failed := errors.New("no cgroup hierarchy with a freezer is mounted")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		var z *freezer
		switch {
		case f[2] == "cgroup2":
			z = &freezer{f[1] + ownGroup(""), "cgroup.freeze", "1", "0"}
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",freezer,"):
			z = &freezer{f[1] + ownGroup("freezer"), "freezer.state", "FROZEN", "THAWED"}
		default:
			continue
		}
		if err := z.try(); err != nil {
			failed = err
			continue
		}
		return z, nil
	}
	return nil, failed
}

// ownGroup is the path of our own group in the hierarchy of a controller; with no name in that of all.
func ownGroup(controller string) string {
	groups, _ := os.ReadFile("/proc/self/cgroup") // if it cannot be read, the root may do
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (f[1] == controller || controller != "" && strings.Contains(","+f[1]+",", ","+controller+",")) {
			return f[2]
		}
	}
	return "/"
}

func (z *freezer) try() error {
	dir, err := z.group("try")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	return os.WriteFile(filepath.Join(dir, z.state), []byte(z.going), 0o600)
}

func (z *freezer) group(name string) (string, error) {
	dir := filepath.Join(z.base, fmt.Sprintf("locked-chaos-%d-%s", os.Getpid(), name))
	return dir, os.Mkdir(dir, 0o700)
}

// thaws lets the processes of a group go on when standard input ends, and removes the group when they have left it, or died:
// a frozen process cannot, so it would outlive us if we were killed.
const thaws = `read -r _; echo "$3" >"$1/$2"; for i in 1 2 3 4 5 6 7 8 9; do rmdir "$1" 2>/dev/null && exit; sleep 0.2; done`

// guard runs a shell that does that, at the latest when this process ends.
func (z *freezer) guard(dir string) (done func(), err error) {
	sh := exec.Command("sh", "-c", thaws, "sh", dir, z.state, z.going)
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal does not reach it
	in, err := sh.StdinPipe()
	if err != nil {
		return nil, err
	}
	return func() {
		_ = in.Close()
		_ = sh.Wait() // what it could not do was done before
	}, sh.Start()
}

// freeze stops a process for a time, or until ctx ends.
func (z *freezer) freeze(ctx context.Context, name string, pid int, d time.Duration) error {
	dir, err := z.group(name)
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	done, err := z.guard(dir)
	if err != nil {
		return err
	}
	defer done()
	if err := write(filepath.Join(dir, "cgroup.procs"), fmt.Sprint(pid)); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, z.state), z.frozen); err != nil {
		return errors.Join(err, write(filepath.Join(z.base, "cgroup.procs"), fmt.Sprint(pid)))
	}
	clock.Pause(ctx, d)
	return errors.Join(write(filepath.Join(dir, z.state), z.going), write(filepath.Join(z.base, "cgroup.procs"), fmt.Sprint(pid)))
}

func write(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
