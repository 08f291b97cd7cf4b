package etcdproc

import "syscall"

// bound makes a process die with whoever has started it. In a group of its own an interrupt from the terminal does not reach
// it.
func bound() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
