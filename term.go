package locked

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// ErrNotLeader says that a term does not hold any more, so that nothing was written through it.
var ErrNotLeader = errors.New("locked: the term has ended")

// Term is one period of leadership, from one election of the node to the end of its belief. Its methods may be called from
// any goroutine, also after it has ended.
type Term struct {
	l      *Locker
	key    string // etcd key that exists, with CreateRevision token, exactly as long as the term holds
	token  int64
	belief *belief
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (n *Node) newTerm(b *belief) *Term {
	key, _ := n.candidate.Leading()
	t := &Term{l: n.l, key: election.TermPrefix(n.path) + key.Nonce, token: key.Create, belief: b}
	t.ctx, t.cancel = context.WithCancelCause(n.campaign.ctx)
	return t
}

// Token is larger than that of every earlier term of the path. Hand it to stores outside etcd, which must remember the
// largest that they have seen, and refuse smaller ones.
func (t *Term) Token() int64 { return t.token }

// Remaining is how long the term's context will live without another renewal, 0 if it has ended.
func (t *Term) Remaining() time.Duration {
	now := t.l.clock.Now()
	if !t.belief.holds(now) {
		return 0
	}
	return t.belief.remaining(now)
}

// Guard is a compare that holds exactly at the revisions at which the term does, for transactions of one's own. Where it
// fails the branch Else is taken: [Term.Txn] tells that apart from other compares.
func (t *Term) Guard() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(t.key), "=", t.token)
}

// Txn gives a transaction that is committed only if the term holds at that revision; otherwise Commit returns
// [ErrNotLeader] and nothing was changed. If, Then and Else are the caller's own, as in [clientv3.Txn]: a failing compare
// among them takes the branch Else. It costs one round trip, as any transaction. When the work winds down after the
// term's context has ended, and the term was not given up yet, it commits.
//
// A Commit that returns any other error, as when its context ends, was neither done nor undone: it may still commit as
// long as the term holds.
func (t *Term) Txn(ctx context.Context) clientv3.Txn { return &fencedTxn{t: t, ctx: ctx} }

type fencedTxn struct {
	t       *Term
	ctx     context.Context
	cmps    []clientv3.Cmp
	yes, no []clientv3.Op
}

func (x *fencedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	x.cmps = append(x.cmps, cs...)
	return x
}

func (x *fencedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	x.yes = append(x.yes, ops...)
	return x
}

func (x *fencedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	x.no = append(x.no, ops...)
	return x
}

// Commit sends the caller's transaction nested in one that has the guard alone.
func (x *fencedTxn) Commit() (*clientv3.TxnResponse, error) {
	resp, err := x.t.l.etcd.Txn(x.ctx).If(x.t.Guard()).Then(clientv3.OpTxn(x.cmps, x.yes, x.no)).Commit()
	if err != nil {
		return nil, err
	}
	if !resp.Succeeded {
		return nil, ErrNotLeader
	}
	inner := (*clientv3.TxnResponse)(resp.Responses[0].GetResponseTxn())
	inner.Header = resp.Header
	return inner, nil
}
