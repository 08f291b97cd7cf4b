package locked

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/samcday/locked/internal/election"
)

// Watches are hints: what they tell is true, but may be late, and may stop without a word. So each is opened before the
// state is read, and asked for progress every half TTL: see heartbeat.go.

// feed is one watch, opened anew for as long as it is needed. Its fields but cancel belong to the loop.
type feed struct {
	l      *Locker
	c      *contest
	key    string
	prefix bool
	whole  bool // all keys but PATH
	path   bool // PATH alone
	cancel context.CancelFunc

	opened   bool
	stream   uint64 // that it is on
	progress int64  // revision up to which everything was delivered
	reopen   context.CancelFunc
}

// streams is the watch stream that the feeds of a locker share. etcd's client gives a stream to each set of outgoing
// metadata, so a number in it makes a fresh one: a stream that is stalled, or whose token has expired, is left that way.
type streams struct {
	number atomic.Uint64
	beat   heartbeat
}

func (l *Locker) streamContext(ctx context.Context, number uint64) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "locked-stream", fmt.Sprintf("%s-%d", l.seed, number))
	return clientv3.WithRequireLeader(ctx)
}

// abandon makes watches that are opened from now on use another stream than that one.
func (s *streams) abandon(number uint64) { s.number.CompareAndSwap(number, number+1) }

func (l *Locker) openFeed(c *contest, whole bool) *feed {
	f := &feed{l: l, c: c, key: election.TermPrefix(c.path), prefix: true, whole: whole}
	if whole {
		f.key = election.Prefix(c.path)
	}
	return f.start()
}

func (l *Locker) openPathFeed(c *contest) *feed {
	f := &feed{l: l, c: c, key: c.path, path: true}
	return f.start()
}

func (f *feed) start() *feed {
	ctx, cancel := context.WithCancel(f.l.ctx)
	f.cancel = cancel
	f.l.pace()
	f.l.spawn(func() { f.run(ctx) })
	return f
}

func (f *feed) close() {
	if f != nil {
		f.cancel()
	}
}

// run keeps the watch open. The first time it begins at the present, which etcd serves without delay; later where it was
// left, so that nothing is missed, or at the present again where that was compacted away.
func (f *feed) run(ctx context.Context) {
	var from int64
	for attempt := 1; ctx.Err() == nil; attempt++ {
		got, err := f.watch(ctx, from)
		if ctx.Err() != nil {
			return
		}
		if got > from {
			from, attempt = got, 1
		}
		if errors.Is(err, rpctypes.ErrCompacted) || f.path {
			from = 0
		}
		f.l.post(func() { f.broken(ctx, err) })
		pause(ctx, delay(attempt, time.Second))
	}
}

// watch opens the watch once and hands on what it tells, until it ends. It gives the revision up to which it did so.
func (f *feed) watch(parent context.Context, from int64) (got int64, err error) {
	number := f.l.streams.number.Load()
	ctx, cancel := context.WithCancel(f.l.streamContext(parent, number))
	defer cancel()
	options := []clientv3.OpOption{clientv3.WithCreatedNotify(), clientv3.WithRev(from)}
	if f.prefix {
		options = append(options, clientv3.WithPrefix())
	}
	alarm := time.AfterFunc(f.l.timeout, cancel)
	for resp := range f.l.client.Watch(ctx, f.key, options...) {
		if err := resp.Err(); err != nil {
			f.l.streams.abandon(number)
			return got, err
		}
		alarm.Stop()
		got = max(got, reached(&resp))
		f.l.post(func() { f.told(parent, number, cancel, from, &resp) })
	}
	if parent.Err() == nil {
		f.l.streams.abandon(number)
	}
	if !alarm.Stop() && got == 0 {
		return got, errUnreached
	}
	return got, errClosed
}

var errClosed = errors.New("etcd ended the watch")

// reached is the revision up to which a watch has told everything when it sends a response.
func reached(resp *clientv3.WatchResponse) int64 {
	if len(resp.Events) > 0 {
		return resp.Events[len(resp.Events)-1].Kv.ModRevision
	}
	return resp.Header.Revision // of a creation, or a notice of progress
}

// told takes a response of the watch.
func (f *feed) told(ctx context.Context, stream uint64, reopen context.CancelFunc, from int64, resp *clientv3.WatchResponse) {
	if ctx.Err() != nil {
		return
	}
	f.progress = max(f.progress, reached(resp))
	if resp.Created {
		f.opened, f.stream, f.reopen = true, stream, reopen
		if from == 0 {
			from = resp.Header.Revision
		}
		if f.path || f.c.view.Opened(from) {
			f.read(ctx, 1)
		}
		return
	}
	f.apply(resp.Events)
	if resp.IsProgressNotify() && !f.path {
		f.alive()
	}
}

// apply brings the view forward, one revision after the other.
func (f *feed) apply(events []*clientv3.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		changes := make([]election.Change, n)
		for i, e := range events[:n] {
			changes[i] = change(e.Kv, e.Type == clientv3.EventTypeDelete)
		}
		events = events[n:]
		if f.path && f.c.view.ApplyPath(revision, changes[0]) || !f.path && f.c.view.Apply(f.c.path, revision, changes) {
			f.c.changed()
		}
	}
}

// broken notes that the watch ended.
func (f *feed) broken(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.opened = false
	f.l.log.Info("watch ended", "key", f.key, "error", err)
	if final(err) {
		f.c.tell(Event{Kind: Error, Path: f.c.path, Cause: explain(f.c.path, "watch", err)}, everybody)
	}
}

// read reads the state once the watch is open, for as long as that takes.
func (f *feed) read(ctx context.Context, attempt int) {
	f.l.spawn(func() {
		txn := election.Txn{Then: election.ReadAll(f.c.path)}
		if !f.whole && !f.path {
			txn.Then = []election.Op{{Kind: election.Get, Key: f.key, Prefix: true}}
		}
		_, _, seen, err := f.l.commit(ctx, txn)
		if err != nil {
			f.l.log.Warn("election not read", "path", f.c.path, "error", err)
			pause(ctx, delay(attempt, time.Second))
		}
		f.l.post(func() {
			switch {
			case ctx.Err() != nil:
			case err == nil:
				f.c.saw(seen)
			default:
				f.failed(err)
				f.read(ctx, attempt+1)
			}
		})
	})
}

func (f *feed) failed(err error) {
	if final(err) {
		f.c.tell(Event{Kind: Error, Path: f.c.path, Cause: explain(f.c.path, "read", err)}, everybody)
	}
}
