package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/election"
)

// quorum finds out whether a majority takes part. An error says why it does not, or that etcd refuses the user.
func (x *examination) quorum(ctx context.Context) (finding, error) {
	key := proof
	if x.path != "" {
		key = election.Prefix(x.path) + "proof"
	}
	began := time.Now()
	err := x.commits(ctx, key)
	switch said, answers := answer(err); {
	case err == nil:
		return finding{"quorum", "ok", fmt.Sprintf("a leader and a majority have agreed in %v", round(time.Since(began))), ""}, nil
	case errors.Is(err, rpctypes.ErrNoSpace): // before 3.5.7 and 3.4.20
		return finding{
			"quorum", "warn", "not known: etcd is out of space, and this version then refuses what would show a majority",
			"etcdctl compact, etcdctl defrag (a member at a time, the leader last: each stalls), then etcdctl alarm disarm",
		}, nil
	case answers:
		return finding{"quorum", "fail", "nothing can be committed: " + said, quorumFix}, x.conn.explain(err)
	}
	return finding{"quorum", "fail", fmt.Sprintf("nothing was committed within %v", x.conn.timeout), quorumFix}, x.conn.explain(err)
}

const quorumFix = "see whether a majority of the members runs, and whether they reach each other"

// commits tries to commit within the time that a command has, in two goes at once at last: the first may have come to a
// member that is stopped.
func (x *examination) commits(ctx context.Context, key string) error {
	limited, cancel := context.WithTimeout(ctx, x.conn.timeout)
	defer cancel()
	result := make(chan error, 2)
	try := func() { result <- commit(limited, x.client, key) }
	go try()
	select {
	case err := <-result:
		return err
	case <-time.After(x.conn.timeout / 2):
	}
	go try()
	return <-result
}
