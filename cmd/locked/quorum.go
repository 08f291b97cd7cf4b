package main

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
)

// proof is a key that nobody ever has.
const proof = "locked:::proof"

// commit makes etcd commit an entry that changes nothing, for which it needs a leader with a majority: the list of members
// some versions have in memory, and reads they may answer out of date. Whether a user may is looked at when the entry is
// applied, so a majority refuses, too. It tries until ctx ends.
func commit(ctx context.Context, client *clientv3.Client, key string) (err error) {
	for {
		_, failure := client.Delete(clientv3.WithRequireLeader(ctx), key)
		switch {
		case failure == nil, errors.Is(failure, rpctypes.ErrPermissionDenied):
			return nil
		case refused(failure):
			return failure
		case err == nil || ctx.Err() == nil: // of an answer and then silence, the answer says more
			err = failure
		}
		if clock.Pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return err
		}
	}
}
