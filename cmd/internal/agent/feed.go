package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// Limits of the mirror's conversation with etcd.
const (
	beatEvery   = 2 * time.Second // etcd is asked whether it is there, and the watch whether it is up to date
	readLimit   = 5 * time.Second // for one page
	feedRetry   = time.Second
	keysPerPage = 1000
)

// run keeps the mirror up to date until ctx ends.
func (m *mirror) run(ctx context.Context) {
	for {
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		m.reached(ctx, 0, err)
		select {
		case <-time.After(feedRetry):
		case <-ctx.Done():
			return
		}
	}
}

// follow reads everything, and then what changes, until something fails.
func (m *mirror) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	revision, keys, err := m.readAll(ctx)
	if err != nil {
		return err
	}
	m.replace(ctx, revision, keys)
	stream, err := etcdserverpb.NewWatchClient(m.client.ActiveConnection()).Watch(ctx)
	if err != nil {
		return err
	}
	create := &etcdserverpb.WatchCreateRequest{Key: []byte(m.from()), RangeEnd: []byte(m.end()), StartRevision: revision + 1}
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
	return m.listen(ctx, stream, revision, told, failed)
}

func (m *mirror) listen(ctx context.Context, stream etcdserverpb.Watch_WatchClient, got int64,
	told <-chan *etcdserverpb.WatchResponse, failed <-chan error,
) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	wanted := int64(0) // revision that the watch must have come to by the next tick
	for {
		if err := m.probe(ctx, &wanted); err != nil {
			return err
		}
		if err := stream.Send(progressRequest); err != nil {
			return err
		}
		for beat := false; !beat; {
			select {
			case resp := <-told:
				if resp.Canceled {
					return fmt.Errorf("the watch was ended by etcd: %s", resp.CancelReason)
				}
				m.applyAll(ctx, resp.Events)
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

// probe is one linearizable read: whether etcd is there, and which revision it is at.
func (m *mirror) probe(ctx context.Context, revision *int64) error {
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	start := time.Now()
	resp, err := m.client.Get(limited, m.from(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	*revision = resp.Header.Revision
	m.reached(ctx, time.Since(start), nil)
	return nil
}

// from and end are the range of keys that is read and watched.
func (m *mirror) from() string {
	if m.prefix == "" {
		return "\x00"
	}
	return m.prefix
}

func (m *mirror) end() string {
	if m.prefix == "" {
		return "\x00"
	}
	return clientv3.GetPrefixRangeEnd(m.prefix)
}

// readAll reads everything, at one revision.
func (m *mirror) readAll(ctx context.Context) (revision int64, keys map[string][]election.Change, err error) {
	keys = map[string][]election.Change{}
	for from := m.from(); ; {
		limited, cancel := context.WithTimeout(ctx, readLimit)
		resp, err := m.client.Get(limited, from, clientv3.WithRange(m.end()), clientv3.WithLimit(keysPerPage), clientv3.WithRev(revision))
		cancel()
		if err != nil {
			return 0, nil, err
		}
		for _, kv := range resp.Kvs {
			addChange(keys, kv, false)
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		if !resp.More {
			return revision, keys, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// applyAll takes the changes of some revisions, one after the other.
func (m *mirror) applyAll(ctx context.Context, events []*mvccpb.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 0
		keys := map[string][]election.Change{}
		for n < len(events) && events[n].Kv.ModRevision == revision {
			addChange(keys, events[n].Kv, events[n].Type == mvccpb.DELETE)
			n++
		}
		m.apply(ctx, revision, keys)
		events = events[n:]
	}
}

// addChange notes a change if it is one of an election: other keys, and the mirror at PATH, are passed over.
func addChange(keys map[string][]election.Change, kv *mvccpb.KeyValue, deletion bool) {
	name := string(kv.Key)
	path, part, _ := election.ParseKey(name)
	if part != election.PartTerm && part != election.PartQueue {
		return
	}
	key := election.Key{Data: strings.Clone(string(kv.Value)), Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease}
	keys[path] = append(keys[path], election.Change{Name: name, Key: key, Deletion: deletion})
}

var progressRequest = &etcdserverpb.WatchRequest{
	RequestUnion: &etcdserverpb.WatchRequest_ProgressRequest{ProgressRequest: &etcdserverpb.WatchProgressRequest{}},
}

// ping asks etcd for something that a leader with a quorum answers, and that the agent's user may ask for: the list of members
// will not do, which comes from memory before 3.5, and which some versions give to root alone.
func (m *mirror) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), readLimit)
	defer cancel()
	_, err := m.client.Get(ctx, m.from(), clientv3.WithCountOnly())
	return err
}
