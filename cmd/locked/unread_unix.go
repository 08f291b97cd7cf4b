//go:build linux || darwin

package main

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// whenUnread calls giveUp when nobody can read any more what is written to w, also if nothing is: a pipe tells who writes to
// it, and otherwise only who looks. It looks until ctx ends.
func whenUnread(ctx context.Context, w io.Writer, giveUp func()) {
	f, isFile := w.(*os.File)
	if !isFile {
		return
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 { // a file has no reader to lose, a terminal sends HUP
		return
	}
	go func() {
		fd := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLHUP}} // Linux tells of the end anyway, macOS if it is asked
		for ctx.Err() == nil {
			fd[0].Revents = 0
			n, err := unix.Poll(fd, int(time.Second/time.Millisecond))
			if err != nil && err != unix.EINTR {
				return
			}
			if n > 0 && fd[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
				giveUp()
				return
			}
		}
	}()
}
