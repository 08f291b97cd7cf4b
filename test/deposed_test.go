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
		testDeposed(t, func(last *pb.ResponseHeader, _ invoke) (*pb.ResponseHeader, error) { return last, nil })
	})
	t.Run("a read", func(t *testing.T) { testDeposed(t, proofByRead) })
}

// proofByRead takes a linearizable read of the member list for a proof.
func proofByRead(_ *pb.ResponseHeader, do invoke) (*pb.ResponseHeader, error) {
	var list pb.MemberListResponse
	err := do(pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{Linearizable: true}, &list)
	return list.Header, err
}

// brokenProof takes the place of a request that proves something: last is the header in which etcd has named a raft term last.
type brokenProof func(last *pb.ResponseHeader, do invoke) (*pb.ResponseHeader, error)

type invoke func(method string, req, reply any) error

// breaks is the setting of a client with such a proof.
func (broken brokenProof) breaks(cfg *clientv3.Config) {
	var last atomic.Pointer[pb.ResponseHeader]
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		do := func(method string, req, reply any) error { return invoker(ctx, method, req, reply, cc, opts...) }
		if last.Load() != nil && sim.IsProof(method, req) {
			return broken.prove(last.Load(), do, reply.(*pb.DeleteRangeResponse))
		}
		err := do(method, req, reply)
		if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok && err == nil {
			last.Store(r.GetHeader())
		}
		return err
	}))
}

// prove gives the broken proof a revision, as the member has it that answers: an earlier one would be found out by that.
func (broken brokenProof) prove(last *pb.ResponseHeader, do invoke, reply *pb.DeleteRangeResponse) error {
	header, err := broken(last, do)
	if err != nil {
		return err
	}
	var own pb.RangeResponse
	if err := do(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("any"), Serializable: true}, &own); err != nil {
		return err
	}
	reply.Header = &pb.ResponseHeader{ClusterId: own.Header.ClusterId, Revision: own.Header.Revision, RaftTerm: header.RaftTerm}
	return nil
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
