package test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/samcday/locked"
	"github.com/samcday/locked/test/sim"
)

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
		if lastTerm.Load() != 0 && sim.IsProof(method, req) {
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
	sim.InArena(t, 5*time.Second, 0, func(a *sim.Arena) {
		if broken != nil {
			a.MayOverlap()
			a.Config = broken.breaks
		}
		for _, id := range []string{"a", "b", "c"} {
			a.Join(id, locked.NodeConfig{})
		}
		a.StartAll()
		for range length(20, 5) {
			m := a.AwaitLeader()
			time.Sleep(time.Duration(a.Rand().Int64N(int64(a.TTL))))
			restore := m.Link.Depose(a.TTL)
			time.Sleep(3 * a.TTL)
			restore()
			time.Sleep(a.TTL)
		}
		if overlaps := a.Beliefs.Overlaps(); (overlaps > 0) != (broken != nil) {
			a.T.Errorf("%d overlaps", overlaps)
		}
	})
}
