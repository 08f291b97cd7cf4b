package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/samcday/locked/internal/election"
)

// A renewal is proven by agreement. An etcd leader that was stopped and cut off goes on acknowledging renewals, and before
// etcd 3.5.28 and 3.6.9 it can even answer linearizable reads (etcd-io/etcd#20418). What it cannot do in any version is to
// commit an entry: that takes a quorum. So after the acknowledgement one entry is committed that changes nothing; docs/protocol.md,
// section 6, says why equal raft terms then prove the renewal. One entry proves all renewals that were acknowledged before it
// was sent: those of one TTL are made at the same time, and share it.

// ErrUnproven says that a renewal or a grant was not proven, and is worth another try at once.
var ErrUnproven = errors.New("etcd changed its leader meanwhile")

// Agree has etcd commit an entry that changes nothing, and gives the raft term in which it was answered. The entry is the
// deletion of a key that nobody puts: it needs write permission on one of the paths, and no space. It moves no revision, and
// wakes no watch.
func (c *Conn) Agree(ctx context.Context, paths []string) (raftTerm uint64, err error) {
	err = ErrUnproven // nobody is left who has a use for it
	for _, path := range paths {
		sent := c.past.mark()
		var resp *etcdserverpb.DeleteRangeResponse
		request := &etcdserverpb.DeleteRangeRequest{Key: []byte(c.prefix + election.ProofKey(path))}
		resp, err = c.rpc.DeleteRange(clientv3.WithRequireLeader(ctx), request, grpc.WaitForReady(true))
		if err == nil {
			c.past.agreed(sent, resp.Header)
			return resp.Header.RaftTerm, nil
		}
		if err = contextError(ctx, err); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			return 0, err
		}
	}
	return 0, err
}

// claim is a renewal that was acknowledged, and waits to be proven.
type claim struct {
	limit time.Time
	paths func() []string
	done  func(raftTerm uint64, err error)
}

// gathering is how long a proof waits for more renewals that it could prove.
const gathering = 10 * time.Millisecond

// ProofPaths is how many paths are tried before a user is said not to have the permission that a proof needs.
const ProofPaths = 8

// Prove has a renewal proven, together with those of the same TTL that come soon, with the paths that they give then. It posts
// the raft term in which an entry was committed.
func (l *Leases) Prove(ttl time.Duration, r Renewal, paths func() []string, done func(raftTerm uint64, err error)) {
	l.waiting[ttl] = append(l.waiting[ttl], claim{r.limit, paths, done})
	if len(l.waiting[ttl]) == 1 {
		time.AfterFunc(gathering, func() { l.host.Post(func() { l.sendProof(ttl) }) })
	}
}

// sendProof proves all renewals of leases with a TTL that have gathered.
func (l *Leases) sendProof(ttl time.Duration) {
	claims := l.waiting[ttl]
	delete(l.waiting, ttl)
	var paths []string
	for _, c := range claims {
		if paths = append(paths, c.paths()...); len(paths) >= ProofPaths {
			break
		}
	}
	ctx, cancel := context.WithDeadline(l.host.Context, claims[0].limit)
	l.host.Spawn(func() {
		defer cancel()
		sent := l.host.Clock.Now()
		raftTerm, err := l.conn.Agree(ctx, paths)
		took := l.host.Clock.Now() - sent
		l.host.Post(func() {
			if err == nil {
				l.proven(took)
			}
			for _, c := range claims {
				c.done(raftTerm, err)
			}
		})
	})
}
