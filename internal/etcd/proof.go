package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/samcday/locked/internal/election"
)

// ErrUnproven says that a renewal or a grant was not proven, and is worth another try at once.
var ErrUnproven = errors.New("etcd changed its leader meanwhile")

// Agree has etcd commit an entry that changes nothing, and gives the raft term in which it was answered. The entry is the
// deletion of a key that nobody puts: it needs write permission on one of the paths, and no space. It moves no revision, and
// wakes no watch.
func (c *Conn) Agree(ctx context.Context, paths []string) (raftTerm uint64, err error) {
	err = ErrUnproven // nobody is left who has a use for it
	for _, path := range paths {
		var resp *etcdserverpb.DeleteRangeResponse
		request := &etcdserverpb.DeleteRangeRequest{Key: []byte(c.Prefix + election.ProofKey(path))}
		resp, err = c.kv.DeleteRange(clientv3.WithRequireLeader(ctx), request, grpc.WaitForReady(true))
		if err == nil {
			return resp.Header.RaftTerm, nil
		}
		if err = contextError(ctx, err); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			return 0, err
		}
	}
	return 0, err
}
