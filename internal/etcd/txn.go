package etcd

import (
	"context"
	"math"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/samcday/locked/internal/election"
)

// Snapshot is what a transaction read of an election, all at one revision.
type Snapshot struct {
	Revision int64
	Changes  []election.Change
}

// Result is what came of a transaction.
type Result struct {
	Succeeded bool
	Revision  int64
	Seen      *Snapshot // of the branch that was taken, nil if nothing was read there
	Err       error
}

// Commit commits one transaction.
func (c *Conn) Commit(ctx context.Context, txn election.Txn) Result {
	sent := c.past.mark()
	resp, err := c.send(ctx, c.request(txn))
	switch {
	case err != nil:
		return Result{Err: err}
	case !txn.Reads():
		c.past.agreed(sent, resp.Header)
	default:
		c.read(ctx, txn.Then[0].Key, sent, resp.Header)
	}
	return c.resultOf(resp.Header.Revision, resp)
}

// CommitAll commits transactions of different elections in one request. If etcd refuses that, each is tried on its own, so
// that none suffers from another's missing permission.
func (c *Conn) CommitAll(ctx context.Context, txns []election.Txn) []Result {
	if len(txns) == 1 {
		return []Result{c.Commit(ctx, txns[0])}
	}
	all := &etcdserverpb.TxnRequest{}
	for _, t := range txns {
		all.Success = append(all.Success, nested(c.request(t)))
	}
	sent := c.past.mark()
	resp, err := c.send(ctx, all)
	if err == nil { // one with others nested in it is never only a read
		c.past.agreed(sent, resp.Header)
	}
	results := make([]Result, len(txns))
	for i, t := range txns {
		switch {
		case err == nil:
			results[i] = c.resultOf(resp.Header.Revision, resp.Responses[i].GetResponseTxn())
		case Final(err) || Gone(err):
			results[i] = c.Commit(ctx, t)
		default:
			results[i] = Result{Err: err}
		}
	}
	return results
}

// send sends one request, within the request timeout. Like etcd's own client it waits for a connection, and gives the error
// of the context when that ends.
func (c *Conn) send(ctx context.Context, t *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.timeout)
	defer cancel()
	resp, err := c.rpc.Txn(ctx, t, AnySize, grpc.WaitForReady(true))
	return resp, contextError(ctx, err)
}

// AnySize lets etcd answer with as much as it has: gRPC's own limit is 4 MiB.
var AnySize = grpc.MaxCallRecvMsgSize(math.MaxInt32)

func (c *Conn) resultOf(revision int64, resp *etcdserverpb.TxnResponse) Result {
	return Result{Succeeded: resp.Succeeded, Revision: revision, Seen: c.seen(revision, resp.Responses)}
}

// seen collects the keys that the ranges of a transaction gave.
func (c *Conn) seen(revision int64, responses []*etcdserverpb.ResponseOp) *Snapshot {
	var s *Snapshot
	for _, r := range responses {
		kvs := r.GetResponseRange()
		if kvs == nil {
			continue
		}
		if s == nil {
			s = &Snapshot{Revision: revision, Changes: make([]election.Change, 0, len(kvs.Kvs))}
		}
		for _, kv := range kvs.Kvs {
			s.Changes = append(s.Changes, c.change(kv, false))
		}
	}
	return s
}

// change takes a key as a stub of etcd's gives it.
func (c *Conn) change(kv *mvccpb.KeyValue, deletion bool) election.Change {
	ch := Change(kv, deletion)
	ch.Name = ch.Name[len(c.prefix):]
	return ch
}

// Change takes a key as etcd's client gives it.
func Change(kv *mvccpb.KeyValue, deletion bool) election.Change {
	return election.Change{
		Name: string(kv.Key), Deletion: deletion,
		Key: election.Key{Data: string(kv.Value), Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease},
	}
}

// request translates a transaction into etcd's own messages, with the client's prefix before every key. (clientv3 makes a
// deep copy of each compare and operation on the way: a tenth of the time that a handover takes beyond the write.)
func (c *Conn) request(t election.Txn) *etcdserverpb.TxnRequest {
	return &etcdserverpb.TxnRequest{Compare: c.compares(t.If), Success: c.operations(t.Then), Failure: c.operations(t.Else)}
}

func (c *Conn) compares(in []election.Cmp) []*etcdserverpb.Compare {
	out := make([]*etcdserverpb.Compare, len(in))
	for i, want := range in {
		cmp := &etcdserverpb.Compare{}
		cmp.Key, cmp.RangeEnd = c.span(want.Key, want.Prefix)
		switch want.Op {
		case '<':
			cmp.Result = etcdserverpb.Compare_LESS
		case '=':
			cmp.Result = etcdserverpb.Compare_EQUAL
		case '>':
			cmp.Result = etcdserverpb.Compare_GREATER
		}
		switch want.Field {
		case election.CreateRevision:
			cmp.Target, cmp.TargetUnion = etcdserverpb.Compare_CREATE, &etcdserverpb.Compare_CreateRevision{CreateRevision: want.Rev}
		case election.ModRevision:
			cmp.Target, cmp.TargetUnion = etcdserverpb.Compare_MOD, &etcdserverpb.Compare_ModRevision{ModRevision: want.Rev}
		}
		out[i] = cmp
	}
	return out
}

func (c *Conn) operations(in []election.Op) []*etcdserverpb.RequestOp {
	out := make([]*etcdserverpb.RequestOp, len(in))
	for i, o := range in {
		key, end := c.span(o.Key, o.Prefix)
		switch o.Kind {
		case election.Put:
			out[i] = &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{
				RequestPut: &etcdserverpb.PutRequest{Key: key, Value: []byte(o.Value), Lease: o.Lease},
			}}
		case election.Delete:
			out[i] = &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &etcdserverpb.DeleteRangeRequest{Key: key},
			}}
		case election.Get:
			out[i] = &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestRange{
				RequestRange: &etcdserverpb.RangeRequest{Key: key, RangeEnd: end},
			}}
		case election.Nested:
			out[i] = nested(c.request(*o.Txn))
		}
	}
	return out
}

func nested(t *etcdserverpb.TxnRequest) *etcdserverpb.RequestOp {
	return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestTxn{RequestTxn: t}}
}

// span is a key, or all that begin with it.
func (c *Conn) span(name string, prefix bool) (key, end []byte) {
	name = c.prefix + name
	if prefix {
		end = []byte(clientv3.GetPrefixRangeEnd(name))
	}
	return []byte(name), end
}

// View is what a read of a whole election, or of a part of it, shows.
func View(path string, resp *clientv3.GetResponse) *election.View {
	changes := make([]election.Change, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		changes[i] = Change(kv, false)
	}
	view := new(election.View)
	view.Reset(path, resp.Header.Revision, changes)
	return view
}
