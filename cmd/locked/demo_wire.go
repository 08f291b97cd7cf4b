package main

import (
	"context"
	"net"
	"sync"
)

// wire carries bytes between a candidate and etcd until it is cut. Then it keeps them, and neither side is told, as on a
// network that loses every packet. When it is healed the bytes go on, as TCP would have it.
type wire struct {
	target   string
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu   sync.Mutex
	open chan struct{} // closed while bytes pass
}

func newWire(target string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{target: target, listener: l, open: make(chan struct{})}
	w.ctx, w.stop = context.WithCancel(context.Background())
	close(w.open)
	w.running.Go(w.accept)
	return w, nil
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = make(chan struct{})
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.open)
}

func (w *wire) close() {
	w.stop()
	_ = w.listener.Close()
	w.running.Wait()
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		w.running.Go(func() { w.connect(near) })
	}
}

// passes waits until bytes may pass, and reports whether they ever will.
func (w *wire) passes() bool {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	select {
	case <-open:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// connect carries one connection until either side ends it.
func (w *wire) connect(near net.Conn) {
	defer near.Close()
	if !w.passes() {
		return
	}
	far, err := new(net.Dialer).DialContext(w.ctx, "tcp", w.target)
	if err != nil {
		return // and the candidate sees its connection end
	}
	defer far.Close()
	ends := context.AfterFunc(w.ctx, func() { near.Close(); far.Close() })
	defer ends()
	var back sync.WaitGroup
	back.Go(func() { w.carry(near, far) })
	w.carry(far, near)
	back.Wait()
}

// carry moves bytes in one direction, and ends both when that is over.
func (w *wire) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && w.passes() {
			_, err = to.Write(buffer[:n])
		}
		if err != nil || w.ctx.Err() != nil {
			return
		}
	}
}
