package chaos

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A process that is frozen when the one that froze it is killed goes on, and no group is left behind.
func TestThawed(t *testing.T) {
	if os.Getenv("CHAOS_FREEZES") != "" {
		freezeForEver(t)
		return
	}
	if _, err := newFreezer(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestThawed$")
	cmd.Env = append(os.Environ(), "CHAOS_FREEZES=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &dir, &pid); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if pid == 0 {
		return
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
}

// freezeForEver is the role of the process that freezes another one and is killed.
func freezeForEver(t *testing.T) {
	z, err := newFreezer()
	if err != nil {
		t.Fatal(err)
	}
	frozen := exec.Command("sleep", "60")
	frozen.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := frozen.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { t.Error(z.freeze(t.Context(), "test", frozen.Process.Pid, time.Minute)) }()
	dir := fmt.Sprintf("%s/locked-chaos-%d-test", z.base, os.Getpid())
	for {
		state, err := os.ReadFile(dir + "/" + z.state)
		if err == nil && len(state) > 0 && string(state) == z.frozen+"\n" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(dir, frozen.Process.Pid)
	select {}
}
