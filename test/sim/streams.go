package sim

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

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
	link   *Link
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

func linkOf(ctx context.Context) *Link {
	p, _ := peer.FromContext(ctx)
	return p.Addr.(linkAddr).Link
}

func shortMethod(fullMethod string) string {
	return fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
}

// BreakStreams ends the open streams of the method with err, or errFault, and
// tells how many there were. The connection and other requests stay.
func (l *Link) BreakStreams(m Matcher, err error) int {
	if err == nil {
		err = ErrFault
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
