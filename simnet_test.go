package locked

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// link is the way of one client to the server. Its faults come in two layers:
// on the bytes (cut, delay, drip, reset, ...), here, and on the requests (fail,
// loseAnswer, withhold, ...), below. All may be called at any time.
//
// "Up" is from the client to the server, "down" is back.
type link struct {
	sim  *sim
	name string

	mu       sync.Mutex
	cond     sync.Cond // anything below has changed, or a due time has come
	up, down linkWay
	severed  bool
	pipes    map[*linkPipe]bool

	// The requests: see below.
	rules   []*faultRule
	streams map[*faultyStream]bool
	seen    []seenRequest
}

// linkWay is one direction of a link.
type linkWay struct {
	cut      bool
	min, max time.Duration
	drip     time.Duration
}

func newLink(s *sim, name string) *link {
	l := &link{sim: s, name: name, pipes: map[*linkPipe]bool{}, streams: map[*faultyStream]bool{}}
	l.cond.L = &l.mu
	return l
}

func (l *link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.cond.Broadcast()
}

// cut holds what is sent, both ways, until heal. Nobody gets an error by it;
// dials hang. What TCP would do when it gives up is reset.
func (l *link) cut()     { l.change(func() { l.up.cut, l.down.cut = true, true }) }
func (l *link) cutUp()   { l.change(func() { l.up.cut = true }) }
func (l *link) cutDown() { l.change(func() { l.down.cut = true }) }

// sever breaks the connection, losing what is under way, and refuses dials until heal.
func (l *link) sever() { l.change(func() { l.severed = true; l.breakPipes() }) }

// heal ends cut and sever: what was held is delivered at once, in order, or drip
// by drip. It does not end delay and drip.
func (l *link) heal() { l.change(func() { l.up.cut, l.down.cut, l.severed = false, false, false }) }

// reset breaks the connection once: both sides see it at once, even through a
// cut, and what is under way is lost. With heal right after it, it ends a cut
// which the connection did not survive.
func (l *link) reset() { l.change(l.breakPipes) }

// delay delays each write, both ways, by a random time. The order stays.
func (l *link) delay(min, max time.Duration) {
	l.change(func() { l.up.min, l.up.max, l.down.min, l.down.max = min, max, min, max })
}

// dripUp and dripDown deliver each write d after it was made, and d after the
// one before: a queue built up behind a cut drains one by one. gRPC makes one
// write of all the messages it has ready, and its own frames count as well.
func (l *link) dripUp(d time.Duration)   { l.change(func() { l.up.drip = d }) }
func (l *link) dripDown(d time.Duration) { l.change(func() { l.down.drip = d }) }

// dial connects to the server which runs at that time. A cut holds it up.
func (l *link) dial(ctx context.Context, _ string) (net.Conn, error) {
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
func (l *link) connect(ctx context.Context) (client, server *linkConn, err error) {
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
func (l *link) breakPipes() {
	for p := range l.pipes {
		p.queue, p.readErr, p.writeErr = nil, syscall.ECONNRESET, syscall.ECONNRESET
	}
	clear(l.pipes)
}

// linkPipe is one direction of one connection: a queue of writes, each with the time
// at which it is due. A write never waits, so nothing that closes can hang, and
// no goroutine is needed. HTTP/2's flow control bounds the queue. Guarded by link.mu.
type linkPipe struct {
	link     *link
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
	due := time.Now().Add(w.drip + randBetween(p.link.sim.rand(), w.min, w.max))
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
	link    *link
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
type linkAddr struct{ *link }

func (linkAddr) Network() string  { return "sim" }
func (a linkAddr) String() string { return a.name }

// simListener hands the server its ends of the connections.
type simListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newSimListener() *simListener {
	return &simListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *simListener) Addr() net.Addr { return linkAddr{&link{name: "server"}} }
func (l *simListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *simListener) offer(ctx context.Context, c net.Conn) error {
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

// The second layer: faults on the requests, by interceptors between gRPC and
// etcd. They are the innermost ones of the server, so clientv3's retries and
// etcd's own checks are the real ones, and a request that a fault turned away
// has not been applied.

// matcher picks messages: requests, and on streams the replies as well. The
// method is the last part of gRPC's name: "Txn", "LeaseKeepAlive", ...
type matcher func(method string, msg any) bool

func byMethod(name string) matcher { return func(m string, _ any) bool { return m == name } }

// isWrite matches what costs a raft entry in the key space: a transaction with a
// put or delete in either branch does, whichever is taken.
func isWrite(_ string, msg any) bool {
	switch m := msg.(type) {
	case *pb.PutRequest, *pb.DeleteRangeRequest:
		return true
	case *pb.TxnRequest:
		return anyWrite(m.GetSuccess()) || anyWrite(m.GetFailure())
	}
	return false
}

func anyWrite(ops []*pb.RequestOp) bool {
	for _, op := range ops {
		t := op.GetRequestTxn()
		if op.GetRequestPut() != nil || op.GetRequestDeleteRange() != nil || t != nil && isWrite("", t) {
			return true
		}
	}
	return false
}

// isRead matches ranges and transactions that only read.
func isRead(_ string, msg any) bool {
	_, get := msg.(*pb.RangeRequest)
	_, txn := msg.(*pb.TxnRequest)
	return get || txn && !isWrite("", msg)
}

func isRenewal(_ string, msg any) bool {
	_, ok := msg.(*pb.LeaseKeepAliveRequest)
	return ok
}

func isWatchEvent(_ string, msg any) bool {
	m, ok := msg.(*pb.WatchResponse)
	return ok && len(m.GetEvents()) > 0
}

// errFault is what a client gets of a fault that names no error of its own: like
// a broken connection, it tells nothing about the outcome.
var errFault = status.Error(codes.Unavailable, "simulated fault")

// faultRule is a fault on the messages that match. Of several rules the oldest acts.
// A rule acts once, unless times says more.
type faultRule struct {
	link  *link
	match matcher
	act   func(ctx context.Context, apply applier) (any, error)
	left  int
	hits  int
}

// applier lets a message through to etcd.
type applier func(ctx context.Context) (any, error)

func (l *link) rule(m matcher, act func(context.Context, applier) (any, error)) *faultRule {
	r := &faultRule{link: l, match: m, act: act, left: 1}
	l.change(func() { l.rules = append(l.rules, r) })
	return r
}

// times lets the rule act on the next n messages; always, until off.
func (r *faultRule) times(n int) *faultRule { r.link.change(func() { r.left = n }); return r }
func (r *faultRule) always() *faultRule     { return r.times(1 << 62) }
func (r *faultRule) off()                   { r.times(0) }

// hit tells how often the rule has acted.
func (r *faultRule) hit() int {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	return r.hits
}

// fail turns the next matching message away with err, or errFault. On a stream
// it ends the stream.
func (l *link) fail(m matcher, err error) *faultRule {
	if err == nil {
		err = errFault
	}
	return l.rule(m, func(context.Context, applier) (any, error) { return nil, err })
}

// loseAnswer applies the next matching request, and tells the client errFault.
func (l *link) loseAnswer(m matcher) *faultRule {
	return l.rule(m, func(ctx context.Context, apply applier) (any, error) {
		apply(context.WithoutCancel(ctx))
		return nil, errFault
	})
}

// slow holds the next matching message up for d.
func (l *link) slow(m matcher, d time.Duration) *faultRule {
	return l.rule(m, func(ctx context.Context, apply applier) (any, error) {
		select {
		case <-time.After(d):
			return apply(ctx)
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// withheldRequest is one request kept back.
type withheldRequest struct {
	link   *link
	caught chan struct{}
	apply  func() (any, error)
	once   sync.Once
	done   chan struct{}
	reply  any
	err    error
}

// withhold keeps the next matching request back until commit. Its client is told
// err at once; if err is nil it hears nothing before commit, and its own deadline
// may pass. A message of a stream can only be withheld with a nil err.
func (l *link) withhold(m matcher, err error) *withheldRequest {
	w := &withheldRequest{link: l, caught: make(chan struct{}), done: make(chan struct{})}
	l.rule(m, func(ctx context.Context, apply applier) (any, error) {
		w.apply = func() (any, error) { return apply(context.WithoutCancel(ctx)) }
		close(w.caught)
		if err != nil {
			return nil, err
		}
		select {
		case <-w.done:
			return w.reply, w.err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
	return w
}

// wait waits until a request was caught; after an hour the test fails.
func (w *withheldRequest) wait() {
	select {
	case <-w.caught:
	case <-time.After(time.Hour):
		w.link.sim.t.Errorf("link %s: nothing to withhold came in an hour", w.link.name)
	}
}

// commit applies the request, though its client may have gone, and returns what
// etcd answered. It waits for the request first.
func (w *withheldRequest) commit() (any, error) {
	w.wait()
	w.once.Do(func() {
		if w.apply == nil {
			w.err = errFault
			return
		}
		w.reply, w.err = w.apply()
		close(w.done)
	})
	return w.reply, w.err
}

// breakStreams ends the open streams of the method with err, or errFault, and
// tells how many there were. The connection and other requests stay.
func (l *link) breakStreams(m matcher, err error) int {
	if err == nil {
		err = errFault
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for s := range l.streams {
		if m(s.method, nil) {
			s.kill(err)
			n++
		}
	}
	return n
}

// seenRequest is one that reached the server. On streams each message is one.
type seenRequest struct {
	at     time.Duration
	method string
	msg    proto.Message
}

// requests returns the matching requests since the start or the last forget, with
// those that a rule turned away and with clientv3's own retries.
func (l *link) requests(m matcher) []seenRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []seenRequest
	for _, r := range l.seen {
		if m(r.method, r.msg) {
			found = append(found, r)
		}
	}
	return found
}

func (l *link) count(m matcher) int { return len(l.requests(m)) }
func (l *link) forget()             { l.change(func() { l.seen = nil }) }

// pick notes a request and returns what the rules want done with the message.
func (l *link) pick(method string, msg any, isRequest bool) func(context.Context, applier) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isRequest {
		// A copy: etcd's handlers may write into the message.
		l.seen = append(l.seen, seenRequest{l.sim.now(), method, proto.Clone(msg.(proto.Message))})
	}
	for _, r := range l.rules {
		if r.left > 0 && r.match(method, msg) {
			r.left--
			r.hits++
			return r.act
		}
	}
	return func(ctx context.Context, apply applier) (any, error) { return apply(ctx) }
}

func linkOf(ctx context.Context) *link {
	p, _ := peer.FromContext(ctx)
	return p.Addr.(linkAddr).link
}

func shortMethod(fullMethod string) string {
	return fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
}

func faultUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	act := linkOf(ctx).pick(shortMethod(info.FullMethod), req, true)
	return act(ctx, func(ctx context.Context) (any, error) { return handler(ctx, req) })
}

func faultStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	l := linkOf(ss.Context())
	ctx, kill := context.WithCancelCause(ss.Context())
	defer kill(nil)
	s := &faultyStream{ServerStream: ss, link: l, method: shortMethod(info.FullMethod), ctx: ctx, kill: kill}
	l.change(func() { l.streams[s] = true })
	defer l.change(func() { delete(l.streams, s) })
	err := handler(srv, s)
	if ctx.Err() != nil && ss.Context().Err() == nil {
		return context.Cause(ctx) // etcd's handlers would say "cancelled"
	}
	return err
}

// faultyStream passes the messages of a stream through the rules.
type faultyStream struct {
	grpc.ServerStream
	link   *link
	method string
	ctx    context.Context
	kill   context.CancelCauseFunc

	mu   sync.Mutex
	lost error // the answer to a message let through is lost, by this
}

func (s *faultyStream) Context() context.Context { return s.ctx }

func (s *faultyStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.pass(m, true)
}

func (s *faultyStream) SendMsg(m any) error {
	s.mu.Lock()
	err := s.lost
	s.mu.Unlock()
	if err != nil {
		s.kill(err)
		return err
	}
	if err := s.pass(m, false); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// pass ends the stream if a rule turns the message away. If one lets it through
// and still has an error to tell, that takes the place of the next reply.
func (s *faultyStream) pass(m any, isRequest bool) error {
	var passed atomic.Bool // a late commit may set it from elsewhere
	_, err := s.link.pick(s.method, m, isRequest)(s.ctx, func(context.Context) (any, error) {
		passed.Store(true)
		return nil, nil
	})
	switch {
	case err != nil && passed.Load():
		s.mu.Lock()
		s.lost = err
		s.mu.Unlock()
	case err != nil:
		s.kill(err)
		return err
	}
	return nil
}
