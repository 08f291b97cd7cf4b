package sim

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// deposed is the member behind a link as an etcd leader that has been cut off from its peers and does not know it: it
// acknowledges renewals, which count for nothing, tells no watch of anything, and commits nothing. It answers a linearizable
// read as if it were the leader, as etcd before 3.5.28 and 3.6.9 can (etcd-io/etcd#20418), and 3.4 always does for its members.
type deposed struct {
	ttl  time.Duration // of the leases that it knows
	over chan struct{}
}

// Depose lasts until restore, which ends what was under way.
func (l *Link) Depose(ttl time.Duration) (restore func()) {
	d := &deposed{ttl: ttl, over: make(chan struct{})}
	l.change(func() { l.deposed = d })
	return func() {
		l.change(func() { l.deposed = nil })
		close(d.over)
		l.Reset()
	}
}

func (l *Link) isDeposed() *deposed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deposed
}

// pass holds a message back for as long as it lasts, unless it is one that a deposed leader answers.
func (d *deposed) pass(ctx context.Context, msg any, apply Apply) (any, error) {
	if _, read := msg.(*pb.MemberListRequest); read {
		return apply(ctx)
	}
	if m, read := msg.(*pb.RangeRequest); read && m.Serializable {
		return apply(ctx)
	}
	select {
	case <-d.over:
	case <-ctx.Done():
	}
	return nil, ErrFault
}

// acknowledge answers a renewal without making it.
func (d *deposed) acknowledge(s *faultyStream, m *pb.LeaseKeepAliveRequest) error {
	srv := s.link.sim.running()
	if srv == nil {
		return ErrFault
	}
	header := &pb.ResponseHeader{RaftTerm: srv.etcd.Term()}
	return s.ServerStream.SendMsg(&pb.LeaseKeepAliveResponse{Header: header, ID: m.ID, TTL: int64(d.ttl / time.Second)})
}
