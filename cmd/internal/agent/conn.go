package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection to the agent that remembers how it ended: whether the peer closed it, which on this machine means
// that the process has ended or wants no more.
type conn struct {
	net.Conn
	local bool // the peer is on this machine

	closed    atomic.Bool  // by the peer
	streaming atomic.Bool  // what the peer still sends is of no interest
	dropped   atomic.Int64 // bytes that it has sent since
	written   atomic.Int64 // bytes
	once      sync.Once
	release   func()
}

// Read passes on what the peer sends. While the connection streams that is dropped: net/http stops looking after one
// byte, and would not see the end. Who goes on sending is given up on.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil {
			c.ended(err)
		}
		switch {
		case !c.streaming.Load():
			return n, err
		case err != nil:
			return 0, err
		}
		if c.dropped.Add(int64(n)) > mostDropped {
			return 0, errTalks
		}
		if len(p) < dropSize { // net/http asks for one byte
			p = make([]byte, dropSize)
		}
	}
}

// What a peer may send after its request: it costs work, and is for nothing.
const (
	mostDropped = 1 << 20
	dropSize    = 4 << 10
)

var errTalks = errors.New("the peer goes on sending after its request")

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	if err != nil {
		c.ended(err)
	}
	return n, err
}

// ended notes an end that the peer chose. A timeout is none, nor is a deadline of our own.
func (c *conn) ended(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.closed.Store(true)
	}
}

// endSeen reports whether the peer has closed the connection, of which a request has ended. Over TLS the request ends with
// the peer's goodbye, and the end of the connection is still to be read.
func (c *conn) endSeen() bool {
	if !c.closed.Load() && c.SetReadDeadline(time.Now().Add(endPatience)) == nil {
		_, _ = c.Read(make([]byte, 1)) // it streams: this ends with an error
	}
	return c.closed.Load()
}

// endPatience is how soon after its goodbye a peer closes a connection.
const endPatience = 50 * time.Millisecond

func (c *conn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

type connKey struct{}

// withConn makes the connection known to the requests on it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// listener accepts connections up to a number, and up to a part of them from one address elsewhere.
type listener struct {
	net.Listener
	most    int64
	open    atomic.Int64
	refused atomic.Int64

	mu    sync.Mutex
	peers map[string]int64 // connections by address
}

// peerShare is the part of all connections that one address elsewhere may have.
const peerShare = 4

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		local := isLocal(c.RemoteAddr())
		peer := ""
		if !local {
			peer, _, _ = net.SplitHostPort(c.RemoteAddr().String())
		}
		if l.take(peer) {
			return &conn{Conn: c, local: local, release: func() { l.give(peer) }}, nil
		}
		l.refused.Add(1)
		_ = c.Close() // there is nothing to say to it
	}
}

func (l *listener) take(peer string) bool {
	if l.open.Load() >= l.most { // nobody else adds
		return false
	}
	if peer == "" {
		l.open.Add(1)
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers[peer] >= max(l.most/peerShare, 1) {
		return false
	}
	l.open.Add(1)
	if l.peers == nil {
		l.peers = map[string]int64{}
	}
	l.peers[peer]++
	return true
}

func (l *listener) give(peer string) {
	l.open.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if peer == "" {
		return
	}
	if l.peers[peer]--; l.peers[peer] <= 0 {
		delete(l.peers, peer)
	}
}

func isLocal(a net.Addr) bool {
	if a.Network() == "unix" {
		return true
	}
	peer, err := netip.ParseAddrPort(a.String())
	return err == nil && peer.Addr().Unmap().IsLoopback()
}
