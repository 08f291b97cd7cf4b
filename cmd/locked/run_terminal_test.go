//go:build linux

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// typist is who types at a terminal, and looks at its screen.
type typist struct {
	*testing.T
	master *os.File
	screen *printed
}

// newTerminal runs a command in a session of its own on a new terminal.
func newTerminal(t *testing.T, cmd *exec.Cmd) *typist {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no terminals here: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	x := &typist{t, master, newPrinted()}
	go func() { _, _ = io.Copy(x.screen, master) }()
	return x
}

func (x *typist) types(s string) {
	x.Helper()
	if _, err := x.master.WriteString(s); err != nil {
		x.Fatal(err)
	}
}

// shows waits until the screen has shown something.
func (x *typist) shows(s string) {
	x.Helper()
	for end := time.Now().Add(patience); !bytes.Contains(x.screen.bytes(), []byte(s)); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			x.Fatalf("%q is not to be seen:\n%s", s, x.screen)
		}
	}
}

func runOnTerminal(t *runTest, script string) (*typist, *exec.Cmd) {
	cmd := exec.Command("locked", "run", "/run", "--endpoints", t.etcd.Endpoint(), "--ttl", "1m", "--", "sh", "-c", script)
	cmd.Env = t.environment()
	return newTerminal(t.T, cmd), cmd
}

// A program can read from the terminal, and what is typed to interrupt it reaches it once.
func TestRunOnTerminal(tt *testing.T) {
	tt.Parallel()
	t := newRunTest(tt)
	x, cmd := runOnTerminal(t, `trap 'echo interrupted' INT; echo name?; read name; echo "hello $name"; read more; read again; exit 6`)
	x.shows("name?")
	x.types("world\n")
	x.shows("hello world")
	x.types("\x03")
	x.shows("interrupted")
	x.types("one\ntwo\nthree\n")
	if got := codeOf(t, cmd); got != 6 {
		t.Errorf("exit code %d, want 6", got)
	}
	if n := strings.Count(x.screen.String(), "interrupted"); n != 1 {
		t.Errorf("interrupted %d times, want once:\n%s", n, x.screen)
	}
}

// A shell with job control can stop a run with ^Z and go on with it; past the TTL its program is dead.
func TestRunSuspended(tt *testing.T) {
	tt.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		tt.Skip("there is no bash: ", err)
	}
	t := newRunTest(tt)
	shell := exec.Command(bash, "--norc", "--noprofile", "-i")
	shell.Env = append(t.environment(), "PS1=$ ", "LOCKED_ENDPOINTS="+t.etcd.Endpoint())
	x := newTerminal(tt, shell)
	x.types("locked run /run --ttl 1m -- sh -c 'echo re''ady; read y; echo be''gun; read x; exit $x'\n")
	x.shows("ready")
	x.types("y\n")
	x.shows("begun") // so it has the terminal
	x.types("\x1a")
	x.shows("Stopped")
	x.types("fg\n7\necho code=$?\n")
	x.shows("code=7")

	x.types("locked run /run --ttl 20s -- record " + t.dir + "\n")
	t.recorders(1)
	x.types("\x1a")
	if wrong := t.died(1, t.vacated()); wrong != "" {
		t.Error(wrong)
	}
	x.types("fg\necho code=$?\n")
	x.shows("code=79")

	// What is told while the program has the terminal does not stop who tells it. One that stops itself before it has the
	// terminal is made to go on.
	dir := tt.TempDir()
	pid, enough := filepath.Join(dir, "pid"), filepath.Join(dir, "enough")
	x.types("stty tostop; locked run /run --ttl 1m -- sh -c 'echo $$ >" + pid + "; until test -e " + enough + "; do kill -STOP $$; done; exit 8'; echo code=$?\n")
	x.shows("leads on")
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for !zombie(stopped) {
		_ = syscall.Kill(stopped, syscall.SIGCONT)
		time.Sleep(5 * time.Millisecond)
	}
	x.shows("code=8")
}
