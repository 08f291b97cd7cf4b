package faultproxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// afterLate is how long a connection lives after late requests were delivered: etcd gives up a request when its
// connection ends.
const afterLate = 500 * time.Millisecond

// Proxy is the network between a client and a server: a TCP address that leads to wherever the server listens. etcd's own
// fault proxy, go.etcd.io/etcd/pkg/v3/proxy, listens on all addresses of the machine and cannot reset, nor keep what was
// sent before a moment apart from what was sent after it, as [Proxy.Capture] does.
type Proxy struct {
	Up, Down *Gate // to the server, and from it

	target   func() string // empty: nobody listens
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	conns   []*pair
	capture bool // what is sent to the server is kept
	cut     bool // nobody can connect
}

type pair struct {
	near, far *net.TCPConn
	captured  []byte
}

// New gives a proxy on a free port of the loopback address.
func New(target func() string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Up: NewGate(), Down: NewGate(), target: target, listener: l}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where the client connects to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.stop()
	_ = p.listener.Close() // it is ours, and open
	p.running.Wait()
}

// Reset breaks all connections, as a firewall that has forgotten them does, and says how many there were.
func (p *Proxy) Reset() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reset()
}

func (p *Proxy) reset() int {
	for _, c := range p.conns {
		c.reset()
	}
	return len(p.conns)
}

// Cut breaks all connections, and lets nobody connect until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.reset()
}

// Heal undoes Cut.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Connections says how many go over the proxy.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (c *pair) reset() {
	for _, end := range []*net.TCPConn{c.near, c.far} {
		_ = end.SetLinger(0) // makes Close a reset
		_ = end.Close()      // it may be closed already
	}
}

// Capture holds back what the client sends from now on. Seal says how many connections have sent something; deliver
// sends on to the server what was sent up to seal, and nothing of what came later, such as that a request was given up.
// Then the connections are reset. New ones are held back until then.
func (p *Proxy) Capture() (seal func() int, deliver func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Up.Shut()
	p.capture = true
	var sealed map[*pair][]byte
	seal = func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		sealed = map[*pair][]byte{}
		for _, c := range p.conns {
			if len(c.captured) > 0 {
				sealed[c] = slices.Clone(c.captured)
			}
		}
		return len(sealed)
	}
	deliver = func() {
		for c, bytes := range sealed {
			_, _ = c.far.Write(bytes) // if the server is gone, nothing is late
		}
		if len(sealed) > 0 {
			delayed(afterLate, p.ctx.Done())
		}
		p.mu.Lock()
		p.reset()
		p.capture = false
		p.mu.Unlock()
		p.Up.Open()
	}
	return seal, deliver
}

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.connect(near.(*net.TCPConn)) })
	}
}

// connect carries one connection until either side ends it. No way back is no connection either.
func (p *Proxy) connect(near *net.TCPConn) {
	defer near.Close()
	if !p.Up.Pass(p.ctx.Done()) || !p.Down.Pass(p.ctx.Done()) {
		return
	}
	far, err := p.dial()
	if err != nil {
		_ = near.SetLinger(0) // refused
		return
	}
	defer far.Close()
	c := &pair{near: near, far: far}
	if !p.keep(c) {
		_ = near.SetLinger(0) // refused
		return
	}
	defer p.forget(c)
	defer context.AfterFunc(p.ctx, c.reset)()
	var back sync.WaitGroup
	back.Go(func() { p.carry(near, far, p.Down, nil) })
	p.carry(far, near, p.Up, c)
	back.Wait()
}

func (p *Proxy) dial() (*net.TCPConn, error) {
	addr := p.target()
	if addr == "" {
		return nil, errors.New("nobody listens")
	}
	conn, err := new(net.Dialer).DialContext(p.ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (p *Proxy) keep(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.conns = append(p.conns, c)
	}
	return !p.cut
}

func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(other *pair) bool { return other == c })
}

// piece is what was read at once, and when.
type piece struct {
	bytes []byte
	at    time.Time
}

// inFlight is how many pieces may be on their way in one direction.
const inFlight = 256

// carry moves bytes in one direction, and ends both when that is over. What c sends may be captured.
func (p *Proxy) carry(to, from *net.TCPConn, gate *Gate, c *pair) {
	defer to.Close()
	defer from.Close()
	pieces, gone := make(chan piece, inFlight), make(chan struct{})
	go func() {
		defer close(gone)
		for piece := range pieces {
			if !gate.passAt(piece.at, p.ctx.Done()) {
				return
			}
			if _, err := to.Write(piece.bytes); err != nil {
				return
			}
		}
	}()
	p.receive(from, gate, c, pieces, gone)
	close(pieces)
	<-gone
}

// receive reads pieces until nothing comes any more, or goes on.
func (p *Proxy) receive(from *net.TCPConn, gate *Gate, c *pair, pieces chan<- piece, gone <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.captures(c, buffer[:n]) {
			gate.touched.Add(1)
		} else if n > 0 {
			select {
			case pieces <- piece{slices.Clone(buffer[:n]), time.Now()}:
			case <-gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) captures(c *pair, bytes []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c == nil || !p.capture {
		return false
	}
	c.captured = append(c.captured, bytes...)
	return true
}
