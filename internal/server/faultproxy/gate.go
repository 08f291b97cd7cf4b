package faultproxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// Gate is one direction of a connection, or of many: bytes pass it in order. An open gate is a network; a shut one is a
// network that loses every packet, on which nobody is told anything, and where bytes go on when it is opened, as TCP
// would have it.
type Gate struct {
	touched atomic.Int64 // how many pieces were held back or delayed

	mu    sync.Mutex
	shut  int           // by how many faults
	open  chan struct{} // closed while bytes pass
	delay time.Duration // of each piece, one after the other
	lag   time.Duration // of each piece, counted from when it was sent
}

// NewGate gives an open gate.
func NewGate() *Gate {
	g := &Gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// Shut holds bytes back until as many calls of Open have been made.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut++; g.shut == 1 {
		g.open = make(chan struct{})
	}
}

// Open undoes one Shut.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut--; g.shut == 0 {
		close(g.open)
	}
}

// Shut shuts gates; heal opens them again.
func Shut(gates ...*Gate) (heal func()) {
	for _, g := range gates {
		g.Shut()
	}
	return func() {
		for _, g := range gates {
			g.Open()
		}
	}
}

// Drip delays each piece, also those behind one that waits: a queue of answers comes out one by one. 0 ends that.
func (g *Gate) Drip(delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = delay
}

// Lag delays all pieces alike, as a long way does. It is for proxies. 0 ends that.
func (g *Gate) Lag(lag time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lag = lag
}

// Touched counts the pieces that were held back or delayed.
func (g *Gate) Touched() int64 { return g.touched.Load() }

func (g *Gate) state() (open <-chan struct{}, shut bool, delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open, g.shut > 0, g.delay
}

// passAt is Pass for a piece that was sent at a time.
func (g *Gate) passAt(sent time.Time, done <-chan struct{}) bool {
	g.mu.Lock()
	lag := g.lag
	g.mu.Unlock()
	if lag > 0 {
		g.touched.Add(1)
		if !delayed(lag-time.Since(sent), done) {
			return false
		}
	}
	return g.Pass(done)
}

// delayed reports whether a time has passed before done is closed.
func delayed(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

// Pass waits until a piece may go on, and reports whether it ever will: not when done is closed.
func (g *Gate) Pass(done <-chan struct{}) bool {
	open, shut, delay := g.state()
	if shut || delay > 0 {
		g.touched.Add(1)
	}
	if delay > 0 && !delayed(delay, done) {
		return false
	}
	for shut {
		select {
		case <-open:
		case <-done:
			return false
		}
		open, shut, _ = g.state()
	}
	return true
}
