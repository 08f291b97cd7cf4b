//go:build unix

package child

import "syscall"

// Pause stops the process as it stands, until Resume.
func (p *Process) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume lets a stopped process go on.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }
