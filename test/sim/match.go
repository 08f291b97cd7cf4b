package sim

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/samcday/locked/internal/election"
)

// Matcher picks messages: requests, and on streams the replies as well. The
// method is the last part of gRPC's name: "Txn", "LeaseKeepAlive", ...
type Matcher func(method string, msg any) bool

// ByMethod matches the messages of a method.
func ByMethod(name string) Matcher { return func(m string, _ any) bool { return m == name } }

// IsProof matches what proves renewals and grants.
func IsProof(_ string, msg any) bool {
	m, ok := msg.(*pb.DeleteRangeRequest)
	return ok && strings.HasSuffix(string(m.GetKey()), election.ProofKey(""))
}

// IsWrite matches what costs a raft entry in the key space, but for proofs: a
// transaction with a put or delete in either branch does, whichever is taken.
func IsWrite(_ string, msg any) bool {
	switch m := msg.(type) {
	case *pb.PutRequest:
		return true
	case *pb.DeleteRangeRequest:
		return !IsProof("", msg)
	case *pb.TxnRequest:
		return anyWrite(m.GetSuccess()) || anyWrite(m.GetFailure())
	}
	return false
}

func anyWrite(ops []*pb.RequestOp) bool {
	for _, op := range ops {
		t := op.GetRequestTxn()
		if op.GetRequestPut() != nil || op.GetRequestDeleteRange() != nil || t != nil && IsWrite("", t) {
			return true
		}
	}
	return false
}

// IsRead matches ranges and transactions that only read.
func IsRead(_ string, msg any) bool {
	_, get := msg.(*pb.RangeRequest)
	_, txn := msg.(*pb.TxnRequest)
	return get || txn && !IsWrite("", msg)
}

// IsRenewal matches requests to keep a lease.
func IsRenewal(_ string, msg any) bool {
	_, ok := msg.(*pb.LeaseKeepAliveRequest)
	return ok
}

// IsWatchEvent matches what a watch tells of a change.
func IsWatchEvent(_ string, msg any) bool {
	m, ok := msg.(*pb.WatchResponse)
	return ok && len(m.GetEvents()) > 0
}

// IsRepeatable matches the requests that Duplicate can send twice.
func IsRepeatable(_ string, msg any) bool {
	switch msg.(type) {
	case *pb.TxnRequest, *pb.PutRequest, *pb.DeleteRangeRequest, *pb.RangeRequest,
		*pb.LeaseGrantRequest, *pb.LeaseRevokeRequest, *pb.LeaseKeepAliveRequest:
		return true
	}
	return false
}
