package test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samcday/locked"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// deposed is the member behind a link as an etcd leader that has been cut off from its peers and does not know it: it
// acknowledges renewals, which count for nothing, tells no watch of anything, and commits nothing. It answers a linearizable
// read as if it were the leader, as etcd before 3.5.28 and 3.6.9 can (etcd-io/etcd#20418), and 3.4 always does for its members.
type deposed struct {
	ttl  time.Duration // of the leases that it knows
	over chan struct{}
}

// depose lasts until restore, which ends what was under way.
func (l *link) depose(ttl time.Duration) (restore func()) {
	d := &deposed{ttl: ttl, over: make(chan struct{})}
	l.change(func() { l.deposed = d })
	return func() {
		l.change(func() { l.deposed = nil })
		close(d.over)
		l.reset()
	}
}

func (l *link) isDeposed() *deposed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deposed
}

// pass holds a message back for as long as it lasts, unless it is one that a deposed leader answers.
func (d *deposed) pass(ctx context.Context, msg any, apply applier) (any, error) {
	if _, read := msg.(*pb.MemberListRequest); read {
		return apply(ctx)
	}
	select {
	case <-d.over:
	case <-ctx.Done():
	}
	return nil, errFault
}

// acknowledge answers a renewal without making it.
func (d *deposed) acknowledge(s *faultyStream, m *pb.LeaseKeepAliveRequest) error {
	srv := s.link.sim.running()
	if srv == nil {
		return errFault
	}
	header := &pb.ResponseHeader{RaftTerm: srv.etcd.Term()}
	return s.ServerStream.SendMsg(&pb.LeaseKeepAliveResponse{Header: header, ID: m.ID, TTL: int64(d.ttl / time.Second)})
}

// Law 2: a member of etcd that was deposed prolongs no leadership, whatever it acknowledges and answers: what proves a renewal
// is an entry that a quorum has committed.
func TestLaw2DeposedLeader(t *testing.T) {
	testDeposed(t, nil)
}

// Where the proof of a renewal is left out, or is a read, the same faults make two lead at once.
func TestProofBroken(t *testing.T) {
	t.Run("left out", func(t *testing.T) {
		testDeposed(t, func(_ context.Context, lastTerm uint64, reply *pb.DeleteRangeResponse, _ func(string, any, any) error) error {
			reply.Header = &pb.ResponseHeader{RaftTerm: lastTerm}
			return nil
		})
	})
	t.Run("a read", func(t *testing.T) {
		testDeposed(t, func(_ context.Context, _ uint64, reply *pb.DeleteRangeResponse, invoke func(string, any, any) error) error {
			var list pb.MemberListResponse
			err := invoke(pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{Linearizable: true}, &list)
			reply.Header = list.Header
			return err
		})
	})
}

// brokenProof takes the place of a request that proves something: lastTerm is the raft term that etcd has named last.
type brokenProof func(ctx context.Context, lastTerm uint64, reply *pb.DeleteRangeResponse, invoke func(method string, req, reply any) error) error

// breaks is the setting of a client with such a proof.
func (broken brokenProof) breaks(cfg *clientv3.Config) {
	var lastTerm atomic.Uint64
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if lastTerm.Load() != 0 && isProof(method, req) {
			return broken(ctx, lastTerm.Load(), reply.(*pb.DeleteRangeResponse), func(method string, req, reply any) error {
				return invoke(ctx, method, req, reply, cc, opts...)
			})
		}
		err := invoke(ctx, method, req, reply, cc, opts...)
		if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok && err == nil {
			lastTerm.Store(r.GetHeader().GetRaftTerm())
		}
		return err
	}))
}

func testDeposed(t *testing.T, broken brokenProof) {
	t.Parallel()
	inArena(t, 5*time.Second, 0, func(a *arena) {
		if broken != nil {
			a.mayOverlap()
			a.config = broken.breaks
		}
		for _, id := range []string{"a", "b", "c"} {
			a.join(id, locked.NodeConfig{})
		}
		a.startAll()
		for range 20 {
			m := a.awaitLeader()
			time.Sleep(time.Duration(a.rand().Int64N(int64(a.ttl))))
			restore := m.link.depose(a.ttl)
			time.Sleep(3 * a.ttl)
			restore()
			time.Sleep(a.ttl)
		}
		if overlaps := a.beliefs.overlaps(); (overlaps > 0) != (broken != nil) {
			a.t.Errorf("%d overlaps", overlaps)
		}
	})
}
