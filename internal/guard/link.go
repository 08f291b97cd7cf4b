//go:build linux || darwin

package guard

import (
	"encoding/json"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is the socket between a supervisor and its guard: one JSON object a line.
type link struct{ conn net.Conn }

// newLink gives both ends: one to use, and one to hand to the guard.
func newLink() (link, *os.File, error) {
	syscall.ForkLock.RLock() // a copy in some other child would keep it open when we are dead
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return link{}, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "guard")
	ours, err := openLink(os.NewFile(uintptr(fds[0]), "guard"))
	if err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// openLink makes a link of a socket, which it closes.
func openLink(f *os.File) (link, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	return link{conn}, err
}

// send tells something. It never waits for long, nor fails: who does not take it is found out by its silence.
func (l link) send(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // of types of our own
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = l.conn.Write(append(line, '\n'))
}

// receive hands on what the other side tells, until it is gone.
func receive[T any](l link) <-chan T {
	c := make(chan T)
	go func() {
		defer close(c)
		for d := json.NewDecoder(l.conn); ; {
			var v T
			if d.Decode(&v) != nil {
				return
			}
			c <- v
		}
	}()
	return c
}
