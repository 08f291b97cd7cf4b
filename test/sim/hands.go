package sim

import (
	"context"
	"errors"
	"slices"
	"testing/synctest"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// Delete deletes a key of the election by hand, one of that part. To delete both PATH and its term is not safe, so the
// other one must be as the leader left it; and after that it is left alone until there is a term again.
func (a *Arena) Delete(part election.Part) {
	ctx, cancel := context.WithTimeout(context.Background(), a.TTL)
	defer cancel()
	all, err := a.Admin().Get(ctx, a.Path, clientv3.WithPrefix())
	if err != nil {
		return // etcd is down
	}
	mods := map[election.Part]int64{}
	names := map[election.Part]string{}
	for _, kv := range all.Kvs {
		if of, part, _ := election.ParseKey(string(kv.Key)); of == a.Path {
			mods[part], names[part] = kv.ModRevision, string(kv.Key)
		}
	}
	if names[part] == "" || part != election.PartQueue && mods[election.PartPath] != mods[election.PartTerm] {
		return
	}
	intact := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(names[part]), "=", mods[part])}
	if part != election.PartQueue {
		for _, p := range []election.Part{election.PartPath, election.PartTerm} {
			intact = append(intact, clientv3.Compare(clientv3.ModRevision(names[p]), "=", mods[p]))
		}
	}
	_, _ = a.Admin().Txn(ctx).If(intact...).Then(clientv3.OpDelete(names[part])).Commit()
}

// RevokeWaiting revokes the lease of one that waits, by hand. The lease of a leader is not safe to revoke, and who waits may
// be elected at any time: so it is done while everything stands still.
func (a *Arena) RevokeWaiting() {
	synctest.Wait()
	now := a.Now()
	view := a.View()
	waiting := slices.DeleteFunc(view.Queue, func(k election.Key) bool {
		return k.Lease == view.Term.Lease || k.Lease == view.Path.Lease // of one that was elected, and left something behind
	})
	if len(waiting) > 0 {
		a.revoke(waiting[a.Rand().IntN(len(waiting))])
	}
	if a.Now() != now {
		a.T.Errorf("at %v: time went on while a lease was revoked", now)
	}
}

// RevokeLease revokes the lease that the member leads or waits on, by hand.
func (a *Arena) RevokeLease(m *Member) {
	view := a.View()
	for _, k := range append(view.Queue, view.Term) {
		if holderOf(k) == m.Name {
			a.revoke(k)
			return
		}
	}
}

func (a *Arena) revoke(k election.Key) {
	_, err := a.Admin().Revoke(context.Background(), clientv3.LeaseID(k.Lease))
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) { // it may have ended meanwhile
		a.NoError(err)
	}
}
