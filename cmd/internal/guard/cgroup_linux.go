package guard

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// cgroup is a cgroup (version 2) below our own that a program runs in, where we may make one. Killing it reaches processes
// of other users too, and all at once. Without one descendants are found and killed one by one.
type cgroup struct {
	dir string
	fd  *os.File
}

func newCgroup() cgroup {
	own := ownCgroup()
	if own == "" {
		return cgroup{}
	}
	dir := filepath.Join(own, fmt.Sprintf("locked-guard-%d", os.Getpid()))
	_ = os.Remove(dir) // of an earlier process of our number, that was killed
	if os.Mkdir(dir, 0o755) != nil {
		return cgroup{}
	}
	c := cgroup{dir: dir}
	var err error
	if _, err = os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
		c.fd, err = os.Open(dir)
	}
	if err != nil {
		c.remove()
		return cgroup{}
	}
	return c
}

// start runs a program in the cgroup, or outside if the kernel does not let it in.
func (c *cgroup) start(p *Program, attr *syscall.SysProcAttr) (*os.Process, error) {
	how := &os.ProcAttr{Env: p.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: attr}
	if c.fd != nil {
		inside := *attr
		inside.UseCgroupFD, inside.CgroupFD = true, int(c.fd.Fd())
		process, err := os.StartProcess(p.Path, p.Args, &os.ProcAttr{Env: how.Env, Files: how.Files, Sys: &inside})
		if err == nil {
			return process, nil
		}
		c.remove()
		*c = cgroup{}
	}
	return os.StartProcess(p.Path, p.Args, how)
}

func (c *cgroup) kill() {
	if c.dir != "" {
		_ = os.WriteFile(filepath.Join(c.dir, "cgroup.kill"), []byte("1"), 0) // what it does not reach is found one by one
	}
}

func (c *cgroup) remove() {
	if c.fd != nil {
		_ = c.fd.Close()
	}
	if c.dir != "" {
		_ = os.Remove(c.dir)
	}
}

// cgroups says what cgroups this process is in. Tests put it elsewhere.
var cgroups = "/proc/self/cgroup"

// ownCgroup is the directory of the cgroup that this process is in, empty if it is not to be found.
func ownCgroup() string {
	data, err := os.ReadFile(cgroups)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			if root := mounted("cgroup2"); root != "" {
				return filepath.Join(root, path)
			}
		}
	}
	return ""
}

// mounted is where a file system is mounted.
func mounted(kind string) string {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 2 && fields[2] == kind {
			return fields[1]
		}
	}
	return ""
}
