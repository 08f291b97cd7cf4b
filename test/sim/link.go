package sim

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Link is the way of one client to the server. Its faults come in two layers:
// on the bytes (Cut, Delay, DripDown, Reset, ...), here, and on the requests (Fail,
// LoseAnswer, Withhold, ...), in rules.go. All may be called at any time.
//
// "Up" is from the client to the server, "down" is back.
type Link struct {
	sim  *Sim
	name string

	mu       sync.Mutex
	cond     sync.Cond // anything below has changed, or a due time has come
	up, down linkWay
	severed  bool
	pipes    map[*linkPipe]bool

	// The requests: see rules.go.
	deposed *deposed // see deposed.go
	rules   []*Rule
	streams map[*faultyStream]bool
	seen    []Request
}

// linkWay is one direction of a link.
type linkWay struct {
	cut      bool
	min, max time.Duration
	drip     time.Duration
}

func newLink(s *Sim, name string) *Link {
	l := &Link{sim: s, name: name, pipes: map[*linkPipe]bool{}, streams: map[*faultyStream]bool{}}
	l.cond.L = &l.mu
	return l
}

func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.cond.Broadcast()
}

// Cut holds what is sent, both ways, until Heal. Nobody gets an error by it;
// dials hang. What TCP would do when it gives up is Reset.
func (l *Link) Cut() { l.change(func() { l.up.cut, l.down.cut = true, true }) }

// CutUp and CutDown hold what is sent one way.
func (l *Link) CutUp()   { l.change(func() { l.up.cut = true }) }
func (l *Link) CutDown() { l.change(func() { l.down.cut = true }) }

// Sever breaks the connection, losing what is under way, and refuses dials until Heal.
func (l *Link) Sever() { l.change(func() { l.severed = true; l.breakPipes() }) }

// Heal ends Cut and Sever: what was held is delivered at once, in order, or drip
// by drip. It does not end Delay and drips.
func (l *Link) Heal() { l.change(func() { l.up.cut, l.down.cut, l.severed = false, false, false }) }

// Reset breaks the connection once: both sides see it at once, even through a
// cut, and what is under way is lost. With Heal right after it, it ends a cut
// which the connection did not survive.
func (l *Link) Reset() { l.change(l.breakPipes) }

// Delay delays each write, both ways, by a random time. The order stays.
func (l *Link) Delay(min, max time.Duration) {
	l.change(func() { l.up.min, l.up.max, l.down.min, l.down.max = min, max, min, max })
}

// DripUp and DripDown deliver each write d after it was made, and d after the
// one before: a queue built up behind a cut drains one by one. gRPC makes one
// write of all the messages it has ready, and its own frames count as well.
func (l *Link) DripUp(d time.Duration)   { l.change(func() { l.up.drip = d }) }
func (l *Link) DripDown(d time.Duration) { l.change(func() { l.down.drip = d }) }

// dial connects to the server which runs at that time. A cut holds it up.
func (l *Link) dial(ctx context.Context, _ string) (net.Conn, error) {
	client, server, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = syscall.ECONNREFUSED
	if srv := l.sim.running(); srv != nil {
		err = srv.listener.offer(ctx, server)
	}
	if err != nil {
		client.Close()
		server.Close()
		return nil, err
	}
	return client, nil
}

// connect waits until the link is open and makes both ends of a connection.
func (l *Link) connect(ctx context.Context) (client, server *linkConn, err error) {
	defer context.AfterFunc(ctx, func() { l.change(func() {}) })()
	l.mu.Lock()
	defer l.mu.Unlock()
	for (l.up.cut || l.down.cut) && !l.severed && ctx.Err() == nil {
		l.cond.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case l.severed:
		return nil, nil, syscall.ECONNREFUSED
	}
	up, down := &linkPipe{link: l, way: &l.up}, &linkPipe{link: l, way: &l.down}
	l.pipes[up], l.pipes[down] = true, true
	return &linkConn{link: l, in: down, out: up}, &linkConn{link: l, in: up, out: down}, nil
}

// breakPipes ends every connection as a RST packet does. The caller holds mu.
func (l *Link) breakPipes() {
	for p := range l.pipes {
		p.queue, p.readErr, p.writeErr = nil, syscall.ECONNRESET, syscall.ECONNRESET
	}
	clear(l.pipes)
}

// linkPipe is one direction of one connection: a queue of writes, each with the time
// at which it is due. A write never waits, so nothing that closes can hang, and
// no goroutine is needed. HTTP/2's flow control bounds the queue. Guarded by link.mu.
type linkPipe struct {
	link     *Link
	way      *linkWay
	queue    []linkChunk
	taken    time.Time // when a chunk was last taken off
	deadline time.Time // of reads

	readErr, writeErr error // the end that reads, or writes, is closed or broken
}

type linkChunk struct {
	data []byte    // none: the end of the stream
	due  time.Time // or later: when those before it are through
}

// push queues data, or the end of the stream.
func (p *linkPipe) push(data []byte) {
	w := p.way
	due := time.Now().Add(w.drip + randBetween(p.link.sim.Rand(), w.min, w.max))
	p.queue = append(p.queue, linkChunk{append([]byte(nil), data...), due})
}

func (p *linkPipe) read(b []byte) (int, error) {
	l := p.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		n, wake, err := p.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		var timer *time.Timer
		if !wake.IsZero() {
			timer = time.AfterFunc(time.Until(wake), func() { l.change(func() {}) })
		}
		l.cond.Wait()
		if timer != nil {
			timer.Stop()
		}
	}
}

// take returns what can be read now, or else the time to look again; that is
// zero if only a change of the link can help.
func (p *linkPipe) take(b []byte) (n int, wake time.Time, err error) {
	now := time.Now()
	switch {
	case p.readErr != nil:
		return 0, wake, p.readErr
	case !p.deadline.IsZero() && !now.Before(p.deadline):
		return 0, wake, os.ErrDeadlineExceeded
	}
	wake = p.deadline
	if len(p.queue) == 0 || p.way.cut {
		return 0, wake, nil
	}
	head := &p.queue[0]
	ready := head.due
	if next := p.taken.Add(p.way.drip); p.way.drip > 0 && next.After(ready) {
		ready = next
	}
	if now.Before(ready) {
		if wake.IsZero() || ready.Before(wake) {
			wake = ready
		}
		return 0, wake, nil
	}
	if len(head.data) == 0 {
		return 0, wake, io.EOF
	}
	n = copy(b, head.data)
	if head.data = head.data[n:]; len(head.data) == 0 {
		p.queue, p.taken = p.queue[1:], now
	}
	return n, wake, nil
}

// linkConn is one end of a connection.
type linkConn struct {
	link    *Link
	in, out *linkPipe
}

func (c *linkConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write never waits. What is written to an end that has closed is lost in
// silence: that it has closed is told by its end of stream, when that arrives.
func (c *linkConn) Write(b []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.out.writeErr != nil {
		return 0, c.out.writeErr
	}
	if c.out.readErr == nil && len(b) > 0 {
		c.out.push(b)
		c.link.cond.Broadcast()
	}
	return len(b), nil
}

func (c *linkConn) Close() error {
	c.link.change(func() {
		if c.out.writeErr == nil {
			c.out.writeErr = net.ErrClosed
			c.out.push(nil)
		}
		if c.in.readErr == nil {
			c.in.readErr, c.in.queue = net.ErrClosed, nil
		}
		for _, p := range []*linkPipe{c.in, c.out} {
			if p.readErr != nil && p.writeErr != nil {
				delete(c.link.pipes, p)
			}
		}
	})
	return nil
}

func (c *linkConn) SetReadDeadline(t time.Time) error {
	c.link.change(func() { c.in.deadline = t })
	return nil
}
func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }
func (c *linkConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *linkConn) LocalAddr() net.Addr              { return linkAddr{c.link} }
func (c *linkConn) RemoteAddr() net.Addr             { return linkAddr{c.link} }

// linkAddr is the address of both ends: so the server finds the link of a request.
type linkAddr struct{ *Link }

func (linkAddr) Network() string  { return "sim" }
func (a linkAddr) String() string { return a.name }

// listener hands the server its ends of the connections.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) Addr() net.Addr { return linkAddr{&Link{name: "server"}} }
func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) offer(ctx context.Context, c net.Conn) error {
	select {
	case l.conns <- c:
		return nil
	case <-l.done:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		return ctx.Err()
	}
}

func randBetween(r *rand.Rand, min, max time.Duration) time.Duration {
	if max <= min {
		return min
	}
	return min + time.Duration(r.Int64N(int64(max-min)+1))
}
