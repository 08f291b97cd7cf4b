package main

import (
	"os"
	"syscall"
)

// What only the tests of "locked run" need.
var (
	programs    = map[string]func(){"record": recorder, "etcdlock": etcdLock}
	moreSignals = map[string]os.Signal{
		"QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
	}
)
