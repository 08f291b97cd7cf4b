package etcdserver

import (
	"errors"
	"net"
	"strconv"
)

func checkListen(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return errors.New("must be HOST:PORT")
	}
	if host == "" {
		return errors.New("has no host: 127.0.0.1 is this machine only, 0.0.0.0 everybody")
	}
	if host != "localhost" && net.ParseIP(host) == nil {
		return errors.New("the host must be an IP address or localhost")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("the port must be a number from 0 to 65535")
	}
	return nil
}

// decidePort finds out whether listen can be had and puts a number in place of
// port 0: etcd must know its address before it listens, to advertise it.
// addr is where listen can be reached from this machine.
func decidePort(listen string) (_, addr string, _ error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	host, _, _ := net.SplitHostPort(listen)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	listen = net.JoinHostPort(host, port)
	return listen, reach(listen), nil
}

// reach is where a server that listens there is reached from this machine.
func reach(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = net.IPv6loopback.String()
		if ip.To4() != nil {
			host = "127.0.0.1"
		}
	}
	return net.JoinHostPort(host, port)
}
