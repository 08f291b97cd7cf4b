package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"

	"github.com/samcday/locked/internal/server/faultproxy"
)

// Mesh is the network between members. It is an HTTP proxy for each of them, so that it knows who asks whom, and has a
// gate for each direction between two.
type Mesh struct {
	proxies []string             // where each member's proxy listens
	gates   [][]*faultproxy.Gate // from, to

	mu    sync.Mutex
	addrs []string // where the members listen for each other

	ctx     context.Context
	stop    context.CancelFunc
	servers []*http.Server
	ways    []*http.Transport
	running sync.WaitGroup
}

// peerHost is the name of a member among the others. Nobody listens there (these addresses are for documentation): the
// others reach it through their proxies. Loopback addresses would not go through a proxy.
func peerHost(i int) string { return fmt.Sprintf("192.0.2.%d:2380", i+1) }

func newMesh(size int) (*Mesh, error) {
	m := &Mesh{addrs: make([]string, size)}
	m.ctx, m.stop = context.WithCancel(context.Background())
	for from := range size {
		row := make([]*faultproxy.Gate, size)
		for to := range row {
			row[to] = faultproxy.NewGate()
		}
		m.gates = append(m.gates, row)
		if err := m.serve(from); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

func (m *Mesh) serve(from int) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	way := &http.Transport{DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
		return m.dial(ctx, from, host)
	}}
	silent := log.New(io.Discard, "", 0)
	s := &http.Server{ErrorLog: silent, Handler: &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, FlushInterval: -1, Transport: way, ErrorLog: silent,
	}}
	m.proxies = append(m.proxies, listener.Addr().String())
	m.servers, m.ways = append(m.servers, s), append(m.ways, way)
	m.running.Go(func() { _ = s.Serve(listener) }) // ends by close
	return nil
}

func (m *Mesh) close() {
	m.stop()
	for i, s := range m.servers {
		_ = s.Close() // it is ending anyway
		m.ways[i].CloseIdleConnections()
	}
	m.running.Wait()
}

// Gate is that of what one member sends to another.
func (m *Mesh) Gate(from, to int) *faultproxy.Gate { return m.gates[from][to] }

// Around gives the gates of what a member sends to all others, of what they send to it, or both.
func (m *Mesh) Around(member int, out, in bool) (gates []*faultproxy.Gate) {
	for other := range m.gates {
		if other != member && out {
			gates = append(gates, m.gates[member][other])
		}
		if other != member && in {
			gates = append(gates, m.gates[other][member])
		}
	}
	return gates
}

func (m *Mesh) listens(member int, addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addrs[member] = addr
}

// dial connects a member to another, which it knows by its peerHost.
func (m *Mesh) dial(ctx context.Context, from int, host string) (net.Conn, error) {
	for to := range m.addrs {
		if host != peerHost(to) {
			continue
		}
		there, back := m.gates[from][to], m.gates[to][from]
		if !there.Pass(ctx.Done()) || !back.Pass(ctx.Done()) {
			return nil, ctx.Err()
		}
		m.mu.Lock()
		addr := m.addrs[to]
		m.mu.Unlock()
		if addr == "" {
			return nil, fmt.Errorf("%s does not listen", host)
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &peerConn{Conn: conn, there: there, back: back, done: m.ctx.Done()}, nil
	}
	return nil, fmt.Errorf("%s is no member", host)
}

// peerConn holds back what is read and written while its gates are shut.
type peerConn struct {
	net.Conn
	there, back *faultproxy.Gate
	done        <-chan struct{}
}

func (c *peerConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.back.Pass(c.done) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *peerConn) Write(b []byte) (int, error) {
	if !c.there.Pass(c.done) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
