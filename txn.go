package locked

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked/internal/election"
)

// snapshot is what a transaction of the protocol read of an election, all at one revision.
type snapshot struct {
	revision int64
	changes  []election.Change
}

// read collects the keys that the ranges of a transaction gave.
func (l *Locker) read(revision int64, responses []*etcdserverpb.ResponseOp) *snapshot {
	var s *snapshot
	for _, r := range responses {
		kvs := r.GetResponseRange()
		if kvs == nil {
			continue
		}
		if s == nil {
			s = &snapshot{revision: revision, changes: make([]election.Change, 0, len(kvs.Kvs))}
		}
		for _, kv := range kvs.Kvs {
			c := change(kv, false)
			c.Name = c.Name[len(l.prefix):]
			s.changes = append(s.changes, c)
		}
	}
	return s
}

func change(kv *mvccpb.KeyValue, deletion bool) election.Change {
	return election.Change{
		Name: string(kv.Key), Deletion: deletion,
		Key: election.Key{Data: string(kv.Value), Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease},
	}
}

// request translates a transaction into etcd's own messages, with the client's prefix before every key. (clientv3 makes a
// deep copy of each compare and operation on the way: a tenth of the time that a handover takes beyond the write.)
func (l *Locker) request(t election.Txn) *etcdserverpb.TxnRequest {
	return &etcdserverpb.TxnRequest{Compare: l.compares(t.If), Success: l.operations(t.Then), Failure: l.operations(t.Else)}
}

func (l *Locker) compares(in []election.Cmp) []*etcdserverpb.Compare {
	out := make([]*etcdserverpb.Compare, len(in))
	for i, c := range in {
		cmp := &etcdserverpb.Compare{}
		cmp.Key, cmp.RangeEnd = l.span(c.Key, c.Prefix)
		switch c.Op {
		case '<':
			cmp.Result = etcdserverpb.Compare_LESS
		case '=':
			cmp.Result = etcdserverpb.Compare_EQUAL
		case '>':
			cmp.Result = etcdserverpb.Compare_GREATER
		}
		switch c.Field {
		case election.CreateRevision:
			cmp.Target, cmp.TargetUnion = etcdserverpb.Compare_CREATE, &etcdserverpb.Compare_CreateRevision{CreateRevision: c.Rev}
		case election.ModRevision:
			cmp.Target, cmp.TargetUnion = etcdserverpb.Compare_MOD, &etcdserverpb.Compare_ModRevision{ModRevision: c.Rev}
		}
		out[i] = cmp
	}
	return out
}

func (l *Locker) operations(in []election.Op) []*etcdserverpb.RequestOp {
	out := make([]*etcdserverpb.RequestOp, len(in))
	for i, o := range in {
		key, end := l.span(o.Key, o.Prefix)
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
			out[i] = nested(l.request(*o.Txn))
		}
	}
	return out
}

func nested(t *etcdserverpb.TxnRequest) *etcdserverpb.RequestOp {
	return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestTxn{RequestTxn: t}}
}

// span is a key, or all that begin with it.
func (l *Locker) span(name string, prefix bool) (key, end []byte) {
	name = l.prefix + name
	if prefix {
		end = []byte(clientv3.GetPrefixRangeEnd(name))
	}
	return []byte(name), end
}

// outcome tells from an error whether a transaction may have been done. Only what etcd refused before proposing it, or
// while applying it, was certainly not done; of a time-out or a broken connection nothing is known.
func outcome(err error) election.Result {
	switch {
	case err == nil:
		return election.Committed
	case gone(err), passing(err):
		return election.Unknown // it was not done, but it is as well to read before it is repeated
	}
	switch status.Code(plain(err)) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.NotFound:
		return election.Denied
	}
	return election.Unknown
}

// gone reports whether an error says that a lease does not exist any more.
func gone(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// passing reports whether an error is a refusal that goes away by itself.
func passing(err error) bool {
	return errors.Is(err, rpctypes.ErrAuthOldRevision) || errors.Is(err, rpctypes.ErrTooManyRequests) ||
		errors.Is(err, rpctypes.ErrInvalidAuthToken)
}

// final reports whether an error will not go away by itself soon.
func final(err error) bool { return outcome(err) == election.Denied }

// explain says what failed, and what to do about it where that is known.
func (l *Locker) explain(path, request string, err error) error {
	err = rpctypes.Error(err)
	hint := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded), status.Code(plain(err)) == codes.DeadlineExceeded, status.Code(plain(err)) == codes.Unavailable:
		hint = " (" + l.endpoints() + ")"
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		hint = fmt.Sprintf(": the etcd user needs a role with readwrite permission on the key %q and on the prefix %q", path, election.Prefix(path))
	case errors.Is(err, rpctypes.ErrUserEmpty):
		hint = ": etcd asks for a user and a password"
	case errors.Is(err, rpctypes.ErrNoSpace):
		hint = ": etcd is out of space; compact and defragment it, then disarm the NOSPACE alarm"
	}
	return fmt.Errorf("%s %s: %w%s", request, path, err, hint)
}

// unreached is ErrUnreachable, with what was not reached.
func (l *Locker) unreached() error { return fmt.Errorf("%w (%s)", ErrUnreachable, l.endpoints()) }

func (l *Locker) endpoints() string { return "endpoints: " + strings.Join(l.client.Endpoints(), ", ") }

// plain turns etcd's own kind of error back into the one that gRPC knows.
func plain(err error) error {
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return status.Error(etcd.Code(), etcd.Error())
	}
	return err
}
