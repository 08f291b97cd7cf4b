package guard

import "golang.org/x/sys/unix"

const bootClock = unix.CLOCK_MONOTONIC // goes on during sleep there
