package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
)

// quorum finds out whether a majority takes part. An error says why it does not, or that etcd refuses the user.
func (x *Examination) quorum(ctx context.Context) (Finding, error) {
	key := proof
	if x.Path != "" {
		key = election.ProofKey(x.Path)
	}
	began := time.Now()
	err := x.commits(ctx, key)
	switch said, answers := trouble.Answer(err); {
	case err == nil:
		return Finding{"quorum", "ok", fmt.Sprintf("a leader and a majority have agreed in %v", round(time.Since(began))), ""}, nil
	case errors.Is(err, rpctypes.ErrNoSpace): // before 3.5.7 and 3.4.20
		return Finding{
			"quorum", "warn", "not known: etcd is out of space, and this version then refuses what would show a majority",
			"etcdctl compact, etcdctl defrag (a member at a time, the leader last: each stalls), then etcdctl alarm disarm",
		}, nil
	case answers:
		return Finding{"quorum", "fail", "nothing can be committed: " + said, quorumFix}, x.Etcd.Explain(err)
	}
	return Finding{"quorum", "fail", fmt.Sprintf("nothing was committed within %v", x.Etcd.Timeout), quorumFix}, x.Etcd.Explain(err)
}

const quorumFix = "see whether a majority of the members runs, and whether they reach each other"

// commits tries to commit within the time that a command has, in two goes at once at last: the first may have come to a
// member that is stopped.
func (x *Examination) commits(ctx context.Context, key string) error {
	limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	result := make(chan error, 2)
	try := func() { result <- commit(limited, x.Client, key) }
	go try()
	select {
	case err := <-result:
		return err
	case <-time.After(x.Etcd.Timeout / 2):
	}
	go try()
	return <-result
}

// proof is a key that nobody ever has.
const proof = "locked:::proof"

// Commit makes etcd commit an entry that changes nothing, and tries until ctx ends. Without an error a majority takes part, even
// if it refuses this user.
func Commit(ctx context.Context, client *clientv3.Client) error { return commit(ctx, client, proof) }

// commit makes etcd commit an entry that changes nothing, for which it needs a leader with a majority: the list of members
// some versions have in memory, and reads they may answer out of date. Whether a user may is looked at when the entry is
// applied, so a majority refuses, too. It tries until ctx ends.
func commit(ctx context.Context, client *clientv3.Client, key string) (err error) {
	for {
		_, failure := client.Delete(clientv3.WithRequireLeader(ctx), key)
		switch {
		case failure == nil, errors.Is(failure, rpctypes.ErrPermissionDenied):
			return nil
		case trouble.Refused(failure):
			return failure
		case err == nil || ctx.Err() == nil: // of an answer and then silence, the answer says more
			err = failure
		}
		if clock.Pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return err
		}
	}
}
