//go:build linux || darwin

package guard

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminal is that of standard input, which a program gets as a shell gives it to a job: so it can read from it, and
// what is typed there (^C, ^Z) goes to the program alone. The nil Terminal stands for none.
type Terminal struct{ own int }

// OpenTerminal gives the terminal of standard input, nil if that is something else. From then on neither writing to a
// terminal (with stty tostop) nor taking it back stops us while somebody else is its foreground.
func OpenTerminal() *Terminal {
	signal.Ignore(unix.SIGTTOU)
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err != nil {
		return nil
	}
	return &Terminal{own: unix.Getpgrp()}
}

// Give makes a process group the foreground of the terminal, if that is ours to give.
func (t *Terminal) Give(group int) bool {
	if t == nil || t.foreground() != t.own {
		return false
	}
	return unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group) == nil
}

// Has reports whether a process group is the foreground of the terminal.
func (t *Terminal) Has(group int) bool { return t != nil && t.foreground() == group }

// Take takes the terminal back from a process group that has it.
func (t *Terminal) Take(group int) {
	if t == nil || t.foreground() != group {
		return
	}
	_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, t.own)
}

func (t *Terminal) foreground() int {
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// Suspend stops this process and its group, as ^Z would, until they are continued; unless nobody is there to do that. Go
// cannot give SIGTSTP its usual effect again once it was handled, hence the other signal.
func Suspend() {
	if orphaned() {
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(0, unix.SIGSTOP)
	<-continued // this thread may get here before another one has taken the signal
}

// orphaned reports whether our process group is: whether no shell of our session has it as a job.
func orphaned() bool {
	above := os.Getpid()
	for group, _ := unix.Getpgid(above); group == unix.Getpgrp(); group, _ = unix.Getpgid(above) {
		if above = parent(above); above <= 1 {
			return true
		}
	}
	own, _ := unix.Getsid(0)
	session, err := unix.Getsid(above)
	return err != nil || session != own
}

// Signals are those that a supervisor handles: what it forwards, and ^Z.
func Signals() []os.Signal { return append(Forwarded(), unix.SIGTSTP) }

// Ends reports whether a signal asks a process to end that does not run a program.
func Ends(s syscall.Signal) bool {
	return s == unix.SIGINT || s == unix.SIGTERM || s == unix.SIGHUP || s == unix.SIGQUIT
}

// Pauses reports whether a signal stops a program for the sake of the terminal.
func Pauses(s int) bool {
	return s == int(unix.SIGTSTP) || s == int(unix.SIGTTIN) || s == int(unix.SIGTTOU)
}

// Wants reports whether a signal says that the program needs the terminal.
func Wants(s int) bool { return s == int(unix.SIGTTIN) || s == int(unix.SIGTTOU) }
