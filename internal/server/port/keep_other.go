//go:build !linux

package port

import "net"

// Keep gives a free address. Elsewhere than on Linux it is not kept, since two sockets cannot have it.
func Keep() (addr string, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}
