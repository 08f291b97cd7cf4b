//go:build linux || darwin

package guard

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is between a supervisor and its guard. Each message is a gob that stands for itself, so that one can be
// left out. JSON would not do: arguments and variables are bytes, not always text.
type socket struct{ conn *net.UnixConn }

// newSocket gives both ends: one to use, and one to hand to the guard.
func newSocket() (socket, *os.File, error) {
	syscall.ForkLock.RLock() // a copy in some other child would keep it open when we are dead
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return socket{}, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "guard")
	ours, err := openSocket(os.NewFile(uintptr(fds[0]), "guard"))
	if err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// openSocket takes one from a file, which it closes.
func openSocket(f *os.File) (socket, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return socket{}, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return socket{}, errors.New("not a socket of this machine")
	}
	return socket{unixConn}, nil
}

// send tells something. It never waits, nor fails: who does not take it is found out by its silence.
func (l socket) send(v any) {
	message := encoded(v)
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Write(func(fd uintptr) bool {
		n, err := unix.Write(int(fd), message)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Write(int(fd), message)
		}
		if err == nil && n < len(message) {
			_ = unix.Shutdown(int(fd), unix.SHUT_WR) // half a message spoils the rest
		}
		return true
	})
}

// sendAll tells something that may be larger than what the kernel keeps for the other side, and waits for that up to a limit.
func (l socket) sendAll(v any, limit time.Duration) {
	_ = l.conn.SetWriteDeadline(time.Now().Add(limit))
	if _, err := l.conn.Write(encoded(v)); err != nil {
		_ = l.conn.CloseWrite()
	}
	_ = l.conn.SetWriteDeadline(time.Time{})
}

func encoded(v any) []byte {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // of types of our own
	}
	return b.Bytes()
}

// receive hands on what the other side tells, until it is gone.
func receive[T any](l socket) <-chan T {
	c := make(chan T)
	go func() {
		defer close(c)
		for in := bufio.NewReader(l.conn); ; {
			var v T
			if gob.NewDecoder(in).Decode(&v) != nil {
				return
			}
			c <- v
		}
	}()
	return c
}
