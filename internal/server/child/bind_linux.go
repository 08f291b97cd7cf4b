package child

import (
	"os/exec"
	"syscall"
)

// Bind makes the process of a command die with this one. In a group of its own an interrupt from the terminal does not reach
// it: whoever started it decides.
func Bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
