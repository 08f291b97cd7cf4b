package test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/lease"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/samcday/locked/internal/election"
)

// The second layer: faults on the requests, by interceptors between gRPC and
// etcd. They are the innermost ones of the server, so clientv3's retries and
// etcd's own checks are the real ones, and a request that a fault turned away
// has not been applied.

// matcher picks messages: requests, and on streams the replies as well. The
// method is the last part of gRPC's name: "Txn", "LeaseKeepAlive", ...
type matcher func(method string, msg any) bool

func byMethod(name string) matcher { return func(m string, _ any) bool { return m == name } }

// isProof matches what proves renewals and grants.
func isProof(_ string, msg any) bool {
	m, ok := msg.(*pb.DeleteRangeRequest)
	return ok && strings.HasSuffix(string(m.GetKey()), election.ProofKey(""))
}

// isWrite matches what costs a raft entry in the key space, but for proofs: a
// transaction with a put or delete in either branch does, whichever is taken.
func isWrite(_ string, msg any) bool {
	switch m := msg.(type) {
	case *pb.PutRequest:
		return true
	case *pb.DeleteRangeRequest:
		return !isProof("", msg)
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
	act   action
	left  int
	hits  int
}

// applier lets a message through to etcd, action is what becomes of one.
type (
	applier func(ctx context.Context) (any, error)
	action  func(ctx context.Context, msg any, apply applier) (any, error)
)

func (l *link) rule(m matcher, act action) *faultRule {
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
	return l.rule(m, func(context.Context, any, applier) (any, error) { return nil, err })
}

// loseAnswer applies the next matching request, and tells the client errFault.
func (l *link) loseAnswer(m matcher) *faultRule {
	return l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
		apply(context.WithoutCancel(ctx))
		return nil, errFault
	})
}

// slow holds the next matching message up for d.
func (l *link) slow(m matcher, d time.Duration) *faultRule {
	return l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
		select {
		case <-time.After(d):
			return apply(ctx)
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// isRepeatable matches the requests that duplicate can send twice.
func isRepeatable(_ string, msg any) bool {
	switch msg.(type) {
	case *pb.TxnRequest, *pb.PutRequest, *pb.DeleteRangeRequest, *pb.RangeRequest,
		*pb.LeaseGrantRequest, *pb.LeaseRevokeRequest, *pb.LeaseKeepAliveRequest:
		return true
	}
	return false
}

// luck decides of one request when it comes again, and whether its client is told the second answer.
type luck func() (later time.Duration, second bool)

// duplicate lets the next matching request, which must be a repeatable one, reach etcd twice, as by a proxy that sends it
// again: at once, or later and at the server that runs then. Its client is told the first answer, or waits for the second.
// A renewal has but one: replies on a stream carry no number, and a second one would be taken for the next one's.
func (l *link) duplicate(m matcher, luck luck) *faultRule {
	return l.rule(m, func(ctx context.Context, msg any, apply applier) (any, error) {
		copied := proto.Clone(msg.(proto.Message)) // etcd's handlers may write into the message
		later, second := luck()
		reply, err := apply(ctx)
		again := make(chan struct{})
		repeat := func() {
			defer close(again)
			r, e := l.sim.serve(context.WithoutCancel(ctx), copied)
			if second {
				reply, err = r, e
			}
		}
		if later == 0 {
			repeat()
			return reply, err
		}
		time.AfterFunc(later, repeat)
		if !second {
			return reply, err
		}
		select {
		case <-again:
			return reply, err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// serve lets a request reach the server that runs now, if one does, beside all connections.
func (s *sim) serve(ctx context.Context, msg proto.Message) (any, error) {
	srv, done := s.enter()
	if srv == nil {
		return nil, errFault
	}
	defer done()
	kv, leases := v3rpc.NewQuotaKVServer(srv.etcd), v3rpc.NewQuotaLeaseServer(srv.etcd)
	switch m := msg.(type) {
	case *pb.TxnRequest:
		return kv.Txn(ctx, m)
	case *pb.PutRequest:
		return kv.Put(ctx, m)
	case *pb.DeleteRangeRequest:
		return kv.DeleteRange(ctx, m)
	case *pb.RangeRequest:
		return kv.Range(ctx, m)
	case *pb.LeaseGrantRequest:
		return leases.LeaseGrant(ctx, m)
	case *pb.LeaseRevokeRequest:
		return leases.LeaseRevoke(ctx, m)
	case *pb.LeaseKeepAliveRequest:
		_, _ = srv.etcd.LeaseRenew(ctx, lease.LeaseID(m.GetID())) // nobody is told
		return nil, nil
	}
	panic(fmt.Sprintf("sim: no way to send a %T twice", msg))
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
	l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
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
func (l *link) pick(method string, msg any, isRequest bool) action {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isRequest {
		// A copy: etcd's handlers may write into the message.
		l.seen = append(l.seen, seenRequest{l.sim.now(), method, proto.Clone(msg.(proto.Message))})
	}
	if l.deposed != nil {
		return l.deposed.pass
	}
	for _, r := range l.rules {
		if r.left > 0 && r.match(method, msg) {
			r.left--
			r.hits++
			return r.act
		}
	}
	return func(ctx context.Context, _ any, apply applier) (any, error) { return apply(ctx) }
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
	return act(ctx, req, func(ctx context.Context) (any, error) { return handler(ctx, req) })
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
	if renewal, ok := m.(*pb.LeaseKeepAliveRequest); ok {
		if d := s.link.isDeposed(); d != nil {
			if err := d.acknowledge(s, renewal); err != nil {
				return err
			}
			return s.RecvMsg(m)
		}
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
	_, err := s.link.pick(s.method, m, isRequest)(s.ctx, m, func(context.Context) (any, error) {
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
