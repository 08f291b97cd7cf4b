// Package elections reads all elections below a prefix, and follows what becomes of them, for whoever has to do with many.
package elections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// Source is where elections are read and followed.
type Source struct {
	Client *clientv3.Client
	Prefix string        // of their paths; empty for all
	Limit  time.Duration // for one request
}

// Changes are those of some elections in one revision, or all that there is of them, by the path.
type Changes map[string][]election.Change

// Follower is told of elections, by one goroutine, until ctx ends.
type Follower interface {
	// Reset tells of everything that there is at a revision: first, and whenever changes may have been missed.
	Reset(ctx context.Context, revision int64, all Changes)
	// Apply tells of the changes of one revision.
	Apply(ctx context.Context, revision int64, changes Changes)
	// Reached tells, every [BeatEvery], that etcd has answered to a linearizable read, and how long that took.
	Reached(ctx context.Context, took time.Duration)
	// Failed tells that something went wrong. It is tried again.
	Failed(ctx context.Context, err error)
}

// BeatEvery is how often etcd is asked whether it is there, and the watch whether it is up to date.
const BeatEvery = 2 * time.Second

const (
	followRetry = time.Second
	keysPerPage = 1000
)

// Follow tells a follower of everything, and then of what changes, until ctx ends.
func (s *Source) Follow(ctx context.Context, f Follower) {
	for ctx.Err() == nil {
		if err := s.follow(ctx, f); ctx.Err() == nil {
			f.Failed(ctx, err)
			clock.Pause(ctx, followRetry)
		}
	}
}

// follow reads everything, and then what changes, until something fails.
func (s *Source) follow(ctx context.Context, f Follower) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	revision, all, err := s.Read(ctx)
	if err != nil {
		return err
	}
	f.Reset(ctx, revision, all)
	stream, err := etcdserverpb.NewWatchClient(s.Client.ActiveConnection()).Watch(ctx, etcd.AnySize)
	if err != nil {
		return err
	}
	create := &etcdserverpb.WatchCreateRequest{Key: []byte(s.from()), RangeEnd: []byte(s.end()), StartRevision: revision + 1}
	if err := stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return err
	}
	told := make(chan *etcdserverpb.WatchResponse)
	failed := make(chan error, 1)
	go func() {
		for {
			resp, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case told <- resp:
			case <-ctx.Done():
				return
			}
		}
	}()
	return s.listen(ctx, f, stream, revision, told, failed)
}

func (s *Source) listen(ctx context.Context, f Follower, stream etcdserverpb.Watch_WatchClient, got int64,
	told <-chan *etcdserverpb.WatchResponse, failed <-chan error,
) error {
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	for {
		begun := time.Now()
		wanted, err := s.Ping(ctx) // the watch must have come to that revision by the next tick
		if err != nil {
			return err
		}
		f.Reached(ctx, time.Since(begun))
		if err := stream.Send(progressRequest); err != nil {
			return err
		}
		for beat := false; !beat; {
			select {
			case resp := <-told:
				if resp.Canceled {
					return fmt.Errorf("the watch was ended by etcd: %s", resp.CancelReason)
				}
				applyAll(ctx, f, resp.Events)
				if !resp.Created {
					got = max(got, resp.Header.Revision)
				}
			case err := <-failed:
				return err
			case <-tick.C:
				beat = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if got < wanted {
			return errors.New("the watch has stalled: the member of etcd that serves it seems to be cut off from the others")
		}
	}
}

// from and end are the range of keys that is read and watched.
func (s *Source) from() string {
	if s.Prefix == "" {
		return "\x00"
	}
	return s.Prefix
}

func (s *Source) end() string {
	if s.Prefix == "" {
		return "\x00"
	}
	return clientv3.GetPrefixRangeEnd(s.Prefix)
}

// Read reads everything, a thousand keys at a time, all at one revision.
func (s *Source) Read(ctx context.Context) (revision int64, all Changes, err error) {
	ctx, all = clientv3.WithRequireLeader(ctx), Changes{}
	for from := s.from(); ; {
		limited, cancel := context.WithTimeout(ctx, s.Limit)
		resp, err := s.Client.Get(limited, from, clientv3.WithRange(s.end()), clientv3.WithLimit(keysPerPage), clientv3.WithRev(revision))
		cancel()
		if err != nil {
			return 0, nil, err
		}
		for _, kv := range resp.Kvs {
			all.add(kv, false)
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		if !resp.More {
			return revision, all, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// applyAll takes the changes of some revisions, one after the other.
func applyAll(ctx context.Context, f Follower, events []*mvccpb.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 0
		keys := Changes{}
		for n < len(events) && events[n].Kv.ModRevision == revision {
			keys.add(events[n].Kv, events[n].Type == mvccpb.DELETE)
			n++
		}
		f.Apply(ctx, revision, keys)
		events = events[n:]
	}
}

// add notes a change if it is one of an election: other keys, and PATH itself, are passed over.
func (c Changes) add(kv *mvccpb.KeyValue, deletion bool) {
	path, part, _ := election.ParseKey(string(kv.Key))
	if part == election.PartTerm || part == election.PartQueue {
		c[path] = append(c[path], etcd.Change(kv, deletion))
	}
}

var progressRequest = &etcdserverpb.WatchRequest{
	RequestUnion: &etcdserverpb.WatchRequest_ProgressRequest{ProgressRequest: &etcdserverpb.WatchProgressRequest{}},
}

// Ping asks etcd for something that a leader with a quorum answers, and that its user may ask for: the list of members will
// not do, which comes from memory before 3.5, and which some versions give to root alone. It gives the revision of the answer.
func (s *Source) Ping(ctx context.Context) (revision int64, err error) {
	limited, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.Limit)
	defer cancel()
	resp, err := s.Client.Get(limited, s.from(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}
