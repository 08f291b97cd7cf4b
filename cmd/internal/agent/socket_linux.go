package agent

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openFiles is how many files the process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt32
	}
	return int(min(limit.Cur, math.MaxInt32)) // Go has raised it as far as it goes
}

// limitSilence makes the system end a connection on which what was sent is not acknowledged in that time.
func limitSilence(c net.Conn, limit time.Duration) {
	if _, ok := c.(*net.TCPConn); ok {
		_ = control(c, func(fd int) error { // else the write deadline is left
			return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
		})
	}
}

// unread is how many bytes of what was sent a peer on this machine has not read. It is not known if the system does not
// tell, or if the peer is in a network namespace of its own.
func (c *conn) unread() (bytes int, known bool) {
	err := control(c.Conn, func(fd int) (err error) {
		bytes, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	if err != nil {
		return 0, false
	}
	if c.RemoteAddr().Network() == "unix" {
		return bytes, true // it is not sent before it was read
	}
	received, err := peers.received(c.RemoteAddr(), c.LocalAddr())
	return bytes + received, err == nil
}

func control(c net.Conn, f func(fd int) error) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	return errors.Join(raw.Control(func(fd uintptr) { done = f(int(fd)) }), done)
}

// sockDiag asks the system about the sockets of others on this machine (sock_diag(7)), over a socket that is opened when it
// is needed and closed when it has failed.
//
// It asks by hand: github.com/vishvananda/netlink (1.3.1) asks by a dump, for which the system goes through all sockets of the
// machine each time, and does not take the one with the right addresses if ports alone match several; of
// github.com/mdlayher/netlink only the framing of messages could be used.
type sockDiag struct {
	mu   sync.Mutex
	open bool
	fd   int
	seq  uint32
}

var peers sockDiag

const (
	diagHeader  = 16 // of a netlink message
	diagRequest = diagHeader + 56
	diagRqueue  = diagHeader + 4 + 48 + 4 // where the answer has what was received and not read
)

// received is how many bytes wait to be read at the TCP socket that is bound to one address and connected to another.
func (d *sockDiag) received(local, remote net.Addr) (int, error) {
	from, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return 0, err
	}
	to, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.ask(from, to)
	if err != nil && !errors.Is(err, unix.ENOENT) && d.open {
		_ = unix.Close(d.fd)
		d.open = false
	}
	return n, err
}

func (d *sockDiag) ask(from, to netip.AddrPort) (int, error) {
	if !d.open {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		if err != nil {
			return 0, err
		}
		d.fd, d.open = fd, true
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			return 0, err
		}
	}
	d.seq++
	if err := unix.Sendto(d.fd, request(d.seq, from, to), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var answer [512]byte
	n, _, err := unix.Recvfrom(d.fd, answer[:], 0)
	switch {
	case err != nil:
		return 0, err
	case n < diagHeader+4 || binary.NativeEndian.Uint32(answer[8:]) != d.seq:
		return 0, unix.EPROTO
	case binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR:
		return 0, unix.Errno(-int32(binary.NativeEndian.Uint32(answer[diagHeader:])))
	case n < diagRqueue+4:
		return 0, unix.EPROTO
	}
	return int(binary.NativeEndian.Uint32(answer[diagRqueue:])), nil
}

// request is one for the socket with exactly these addresses: struct inet_diag_req_v2.
func request(seq uint32, from, to netip.AddrPort) []byte {
	b := make([]byte, diagRequest)
	binary.NativeEndian.PutUint32(b[0:], diagRequest)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], seq)
	q := b[diagHeader:]
	src, dst := from.Addr().Unmap(), to.Addr().Unmap()
	q[0], q[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if src.Is4() {
		q[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(q[4:], ^uint32(0)) // in any state
	id := q[8:]
	binary.BigEndian.PutUint16(id[0:], from.Port())
	binary.BigEndian.PutUint16(id[2:], to.Port())
	copy(id[4:20], src.AsSlice())
	copy(id[20:36], dst.AsSlice())
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // with any cookie
	return b
}
