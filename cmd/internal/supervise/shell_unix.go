//go:build unix

package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// shell runs a shell command, in a process group of its own that is killed when the context ends. A command that fails
// is explained by the last line that it printed.
func shell(ctx context.Context, command string, env []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	var out, complaint bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for a child of it that holds the pipes
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, errors.New("it took too long")
	}
	if line := lastLine(append(out.Bytes(), complaint.Bytes()...)); err != nil && line != "" {
		err = fmt.Errorf("%w: %s", err, line)
	}
	return out.Bytes(), err
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}
