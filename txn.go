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
func read(revision int64, responses []*etcdserverpb.ResponseOp) *snapshot {
	var s *snapshot
	for _, r := range responses {
		kvs := r.GetResponseRange()
		if kvs == nil {
			continue
		}
		if s == nil {
			s = &snapshot{revision: revision}
		}
		for _, kv := range kvs.Kvs {
			s.changes = append(s.changes, change(kv, false))
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

func cmps(in []election.Cmp) []clientv3.Cmp {
	out := make([]clientv3.Cmp, len(in))
	for i, c := range in {
		field := clientv3.CreateRevision(c.Key)
		if c.Field == election.ModRevision {
			field = clientv3.ModRevision(c.Key)
		}
		out[i] = clientv3.Compare(field, string(c.Op), c.Rev)
		if c.Prefix {
			out[i] = out[i].WithPrefix()
		}
	}
	return out
}

func ops(in []election.Op) []clientv3.Op {
	out := make([]clientv3.Op, len(in))
	for i, o := range in {
		switch o.Kind {
		case election.Put:
			out[i] = clientv3.OpPut(o.Key, o.Value, clientv3.WithLease(clientv3.LeaseID(o.Lease)))
		case election.Delete:
			out[i] = clientv3.OpDelete(o.Key)
		case election.Nested:
			out[i] = clientv3.OpTxn(cmps(o.Txn.If), ops(o.Txn.Then), ops(o.Txn.Else))
		case election.Get:
			out[i] = clientv3.OpGet(o.Key)
			if o.Prefix {
				out[i] = clientv3.OpGet(o.Key, clientv3.WithPrefix())
			}
		}
	}
	return out
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
