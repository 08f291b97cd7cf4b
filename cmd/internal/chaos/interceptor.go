package chaos

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// interceptor stands between a candidate's client and etcd, and breaks one rule.
type interceptor struct {
	rule    string
	prefix  string
	seconds int64         // TTL of a lease
	term    atomic.Uint64 // the raft term of the last answer

	mu   sync.Mutex
	seen pb.ResponseHeader // the latest revision that etcd has told, and its cluster
}

const (
	renewalMethod = "/etcdserverpb.Lease/LeaseKeepAlive"
	watchMethod   = "/etcdserverpb.Watch/Watch"
	lieAboutTTL   = 3
)

func (b *interceptor) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if r, ok := reply.(*pb.DeleteRangeResponse); ok && b.rule == "verify" && b.term.Load() != 0 {
		r.Header = b.header()
		return nil
	}
	if txn, ok := req.(*pb.TxnRequest); ok {
		req = b.request(txn)
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		b.reply(reply)
	}
	return err
}

// reply changes what etcd has answered.
func (b *interceptor) reply(reply any) {
	if r, ok := reply.(*pb.LeaseGrantResponse); ok && b.rule == "deadline" {
		r.TTL *= lieAboutTTL
	}
	if r, ok := reply.(*pb.LeaseKeepAliveResponse); ok && b.rule == "deadline" {
		r.TTL *= lieAboutTTL
	}
	h, ok := reply.(interface{ GetHeader() *pb.ResponseHeader })
	if !ok || h.GetHeader() == nil {
		return
	}
	if b.rule == "raft-term" {
		h.GetHeader().RaftTerm = 1
	}
	b.term.Store(h.GetHeader().RaftTerm)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.ClusterId, b.seen.Revision = h.GetHeader().ClusterId, max(b.seen.Revision, h.GetHeader().Revision)
}

// header is one that goes with all that etcd has told.
func (b *interceptor) header() *pb.ResponseHeader {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &pb.ResponseHeader{ClusterId: b.seen.ClusterId, Revision: b.seen.Revision, RaftTerm: b.term.Load()}
}

// request gives the transaction that is sent instead of one that was asked for.
func (b *interceptor) request(asked *pb.TxnRequest) *pb.TxnRequest {
	txn := proto.CloneOf(asked)
	switch {
	case b.rule == "fence" && b.touches(txn, func(key string) bool { return strings.HasPrefix(key, b.prefix+"r") }):
		txn.Compare = nil
	case b.rule == "guard" && passesOn(txn):
		txn.Compare = nil
	}
	return txn
}

// touches reports whether a transaction puts a key, itself or nested.
func (b *interceptor) touches(txn *pb.TxnRequest, is func(key string) bool) bool {
	for _, op := range txn.Success {
		if put := op.GetRequestPut(); put != nil && is(string(put.Key)) {
			return true
		}
		if nested := op.GetRequestTxn(); nested != nil && b.touches(nested, is) {
			return true
		}
	}
	return false
}

// passesOn reports whether a transaction makes a candidate that waits the elected one.
func passesOn(txn *pb.TxnRequest) bool {
	puts, leaves := false, false
	for _, op := range txn.Success {
		puts = puts || strings.Contains(string(op.GetRequestPut().GetKey()), ":::term/")
		leaves = leaves || strings.Contains(string(op.GetRequestDeleteRange().GetKey()), ":::queue/")
	}
	return puts && leaves
}

func (b *interceptor) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	if method == watchMethod && b.rule == "watch" {
		return &hushed{s}, nil
	}
	if method == renewalMethod && b.rule == "renewal" {
		return &answering{ClientStream: s, b: b, asked: make(chan *pb.LeaseKeepAliveRequest, 100)}, nil
	}
	return &lying{s, b}, nil
}

// lying is a stream whose answers are changed, and noted.
type lying struct {
	grpc.ClientStream
	b *interceptor
}

func (s *lying) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.b.reply(m)
	}
	return err
}

// hushed is a stream of watches that tells nothing.
type hushed struct{ grpc.ClientStream }

func (s *hushed) RecvMsg(m any) error {
	for {
		err := s.ClientStream.RecvMsg(m)
		r, ok := m.(*pb.WatchResponse)
		if err != nil || !ok || len(r.Events) == 0 {
			return err
		}
	}
}

// answering is a stream of renewals that etcd never hears of.
type answering struct {
	grpc.ClientStream
	b     *interceptor
	asked chan *pb.LeaseKeepAliveRequest
	once  sync.Once
}

func (s *answering) SendMsg(m any) error {
	select {
	case s.asked <- proto.CloneOf(m.(*pb.LeaseKeepAliveRequest)):
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func (s *answering) CloseSend() error {
	s.once.Do(func() { close(s.asked) })
	return s.ClientStream.CloseSend()
}

func (s *answering) RecvMsg(m any) error {
	select {
	case req, ok := <-s.asked:
		if !ok {
			return io.EOF
		}
		reply, ok := m.(*pb.LeaseKeepAliveResponse)
		if !ok {
			return errors.New("not a renewal")
		}
		reply.ID, reply.TTL = req.ID, s.b.seconds
		reply.Header = &pb.ResponseHeader{RaftTerm: s.b.term.Load()}
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}
