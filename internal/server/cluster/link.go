package cluster

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

// Link is the network between a client and a member: a TCP address that leads to wherever the member listens. etcd's own
// fault proxy, go.etcd.io/etcd/pkg/v3/proxy, listens on all addresses of the machine and cannot reset, nor keep what was
// sent before a moment apart from what was sent after it, as [Link.Capture] does.
type Link struct {
	Up, Down *Gate // to the member, and from it
	Member   int   // index of the member

	target   func() string // empty: nobody listens
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	conns   []*linkConn
	capture bool // what is sent to the member is kept
}

type linkConn struct {
	near, far *net.TCPConn
	captured  []byte
}

// NewLink gives a link on a free port of the loopback address.
func NewLink(target func() string) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Link{Up: NewGate(), Down: NewGate(), target: target, listener: l}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.running.Go(w.accept)
	return w, nil
}

// Addr is where the client connects to.
func (w *Link) Addr() string { return w.listener.Addr().String() }

// Close ends the link and its connections.
func (w *Link) Close() {
	w.stop()
	_ = w.listener.Close() // it is ours, and open
	w.running.Wait()
}

// Reset breaks all connections, as a firewall that has forgotten them does, and says how many there were.
func (w *Link) Reset() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.reset()
	}
	return len(w.conns)
}

// Connections says how many go over the link.
func (w *Link) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

func (c *linkConn) reset() {
	for _, end := range []*net.TCPConn{c.near, c.far} {
		_ = end.SetLinger(0) // makes Close a reset
		_ = end.Close()      // it may be closed already
	}
}

// Capture holds back what the client sends from now on. Seal says how many connections have sent something; deliver
// sends on to the member what was sent up to seal, and nothing of what came later, such as that a request was given up.
// Then the connections are reset. New ones are held back until then.
func (w *Link) Capture() (seal func() int, deliver func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Up.Shut()
	w.capture = true
	var sealed map[*linkConn][]byte
	seal = func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		sealed = map[*linkConn][]byte{}
		for _, c := range w.conns {
			if len(c.captured) > 0 {
				sealed[c] = slices.Clone(c.captured)
			}
		}
		return len(sealed)
	}
	deliver = func() {
		for c, bytes := range sealed {
			_, _ = c.far.Write(bytes) // if the member is gone, nothing is late
		}
		if len(sealed) > 0 {
			wait(w.ctx, afterLate)
		}
		w.mu.Lock()
		for _, c := range w.conns {
			c.reset()
		}
		w.capture = false
		w.mu.Unlock()
		w.Up.Open()
	}
	return seal, deliver
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (w *Link) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		w.running.Go(func() { w.connect(near.(*net.TCPConn)) })
	}
}

// connect carries one connection until either side ends it. No way back is no connection either.
func (w *Link) connect(near *net.TCPConn) {
	defer near.Close()
	if !w.Up.pass(w.ctx.Done()) || !w.Down.pass(w.ctx.Done()) {
		return
	}
	far, err := w.dial()
	if err != nil {
		_ = near.SetLinger(0) // refused
		return
	}
	defer far.Close()
	c := &linkConn{near: near, far: far}
	w.mu.Lock()
	w.conns = append(w.conns, c)
	w.mu.Unlock()
	defer w.forget(c)
	defer context.AfterFunc(w.ctx, c.reset)()
	var back sync.WaitGroup
	back.Go(func() { w.carry(near, far, w.Down, nil) })
	w.carry(far, near, w.Up, c)
	back.Wait()
}

func (w *Link) dial() (*net.TCPConn, error) {
	addr := w.target()
	if addr == "" {
		return nil, errors.New("nobody listens")
	}
	conn, err := new(net.Dialer).DialContext(w.ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (w *Link) forget(c *linkConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = slices.DeleteFunc(w.conns, func(other *linkConn) bool { return other == c })
}

// piece is what was read at once, and when.
type piece struct {
	bytes []byte
	at    time.Time
}

// inFlight is how many pieces may be on their way in one direction.
const inFlight = 256

// carry moves bytes in one direction, and ends both when that is over. What c sends may be captured.
func (w *Link) carry(to, from *net.TCPConn, gate *Gate, c *linkConn) {
	defer to.Close()
	defer from.Close()
	pieces, gone := make(chan piece, inFlight), make(chan struct{})
	go func() {
		defer close(gone)
		for p := range pieces {
			if !gate.passAt(p.at, w.ctx.Done()) {
				return
			}
			if _, err := to.Write(p.bytes); err != nil {
				return
			}
		}
	}()
	w.receive(from, gate, c, pieces, gone)
	close(pieces)
	<-gone
}

// receive reads pieces until nothing comes any more, or goes on.
func (w *Link) receive(from *net.TCPConn, gate *Gate, c *linkConn, pieces chan<- piece, gone <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && w.captures(c, buffer[:n]) {
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

func (w *Link) captures(c *linkConn, bytes []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c == nil || !w.capture {
		return false
	}
	c.captured = append(c.captured, bytes...)
	return true
}
