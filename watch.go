package locked

import (
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// Watches are hints: what they tell is true, but may be late, and may stop without a word. So each is opened before the
// state is read, and asked for progress every half TTL: see heartbeat.go.

// feed is one watch of a contest, opened anew for as long as it is needed. It belongs to the loop.
type feed struct {
	l     *Locker
	c     *contest
	key   string
	path  bool // of PATH alone; otherwise of what begins with key
	whole bool // of all keys but PATH; otherwise of the term alone

	closed   bool
	stream   *stream // that it is on, if any
	id       int64   // there
	asked    time.Duration
	opened   bool
	from     int64 // revision that it was opened at, 0 for the present
	got      int64 // revision up to which it has told everything
	failures int   // in a row
}

func (l *Locker) openFeed(c *contest, whole bool) *feed {
	f := &feed{l: l, c: c, key: election.TermPrefix(c.path), whole: whole}
	if whole {
		f.key = election.Prefix(c.path)
	}
	return f.start()
}

func (l *Locker) openPathFeed(c *contest) *feed {
	return (&feed{l: l, c: c, key: c.path, path: true}).start()
}

func (f *feed) start() *feed {
	f.l.pace()
	f.open()
	return f
}

// open asks for the watch. The first time it begins at the present, which etcd serves without delay; later where it was
// left, so that nothing is missed, or at the present again where that was compacted away.
func (f *feed) open() {
	if f.over() {
		return
	}
	f.stream, f.opened, f.asked, f.from = f.l.stream(), false, f.l.clock.Now(), f.got
	if f.path {
		f.from = 0
	}
	f.stream.lastID++
	f.id = f.stream.lastID
	f.stream.feeds[f.id] = f
	f.stream.asked = append(f.stream.asked, f.id)
	key := f.l.etcd.Prefix + f.key
	create := &etcdserverpb.WatchCreateRequest{Key: []byte(key), StartRevision: f.from, WatchId: f.id}
	if !f.path {
		create.RangeEnd = []byte(clientv3.GetPrefixRangeEnd(key))
	}
	f.stream.out.post(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}})
}

// over reports whether nobody needs the feed any more.
func (f *feed) over() bool { return f.closed || f.l.ctx.Err() != nil }

// close ends the feed. A feed that is nil is none.
func (f *feed) close() {
	if f == nil {
		return
	}
	f.closed = true
	if s := f.stream; s != nil && f.l.closing {
		f.quit() // the stream ends soon: to cancel ten thousand watches one by one would only delay that
	} else if s != nil {
		s.out.post(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CancelRequest{
			CancelRequest: &etcdserverpb.WatchCancelRequest{WatchId: f.id},
		}})
		f.quit()
	}
}

// quit takes the feed from its stream.
func (f *feed) quit() {
	delete(f.stream.feeds, f.id)
	f.stream.retire()
	f.stream, f.opened = nil, false
}

// told takes a response of the watch.
func (f *feed) told(resp *etcdserverpb.WatchResponse) {
	switch {
	case resp.Canceled:
		f.refused(resp)
	case resp.Created:
		f.opened, f.failures = true, 0
		if f.from == 0 {
			f.from, f.got = resp.Header.Revision, resp.Header.Revision
		}
		stale := f.path && f.c.view.PathRevision < f.from
		if stale || !f.path && f.c.view.Opened(f.from) {
			f.read(1)
		}
	default:
		f.apply(resp.Events)
	}
}

// apply brings the view forward, one revision after the other.
func (f *feed) apply(events []*mvccpb.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		changes := make([]election.Change, n)
		for i, e := range events[:n] {
			changes[i] = etcd.Change(e.Kv, e.Type == mvccpb.DELETE)
			changes[i].Name = changes[i].Name[len(f.l.etcd.Prefix):]
		}
		events = events[n:]
		f.got = max(f.got, revision)
		if f.path && f.c.view.ApplyPath(revision, changes[0]) || !f.path && f.c.view.Apply(f.c.path, revision, changes) {
			f.c.changed()
		}
		if f.over() {
			return // the change has ended the need for the feed
		}
	}
}

// progressed notes that everything up to a revision was told. If the elected node still shows, its lease is alive.
func (f *feed) progressed(revision int64) {
	if !f.opened {
		return
	}
	f.got = max(f.got, revision)
	if beat := f.l.beat.revision; !f.path && beat != 0 && revision >= beat && f.c.view.Term.Exists() {
		f.c.tell(f.c.about(EventPing), everybody)
	}
}

// refused opens a watch anew that etcd has ended: at once if only its past was compacted away, on another stream if it
// is not this watch that etcd objects to.
func (f *feed) refused(resp *etcdserverpb.WatchResponse) {
	s := f.stream
	f.quit()
	f.failures++
	if resp.CompactRevision != 0 {
		f.l.log.Info("watch compacted", "key", f.key, "from", f.from, "compacted", resp.CompactRevision)
		f.got = 0
		f.open()
		return
	}
	reason := resp.CancelReason
	if _, description, ok := strings.Cut(reason, " desc = "); ok { // it is a gRPC error, printed
		reason = description
	}
	err := rpctypes.Error(status.Error(codes.FailedPrecondition, reason))
	f.l.log.Warn("watch refused", "key", f.key, "error", err)
	denied := errors.Is(err, rpctypes.ErrPermissionDenied)
	if !denied || s.mayHaveExpired() {
		s.abandon()
	}
	if denied && s.mayHaveExpired() {
		f.open()
		return
	}
	switch {
	case denied:
		f.complainAsRead(err)
	case etcd.Final(err):
		f.complain("watch", err)
	}
	time.AfterFunc(clock.Backoff(f.failures, time.Second), func() { f.l.post(f.open) })
}

// complainAsRead tells why a watch is forbidden as etcd tells it of a read of the same keys: before 3.5.6 it says "permission
// denied" of a watch whatever is wrong with the user.
func (f *feed) complainAsRead(err error) {
	f.l.batches.Submit(f.c.path, f.readTxn(), func(r etcd.Result) {
		if f.over() {
			return
		}
		if etcd.Final(r.Err) {
			err = r.Err
		}
		f.complain("watch", err)
	})
}

// complain tells everybody of an error that will not go away by itself.
func (f *feed) complain(request string, err error) {
	f.c.tell(Event{Kind: EventError, Path: f.c.path, Cause: f.l.etcd.Explain(f.c.path, request, err)}, everybody)
}

// readTxn reads what the feed is about.
func (f *feed) readTxn() election.Txn {
	if f.whole || f.path {
		return election.Txn{Then: election.ReadAll(f.c.path)}
	}
	return election.Txn{Then: []election.Op{{Kind: election.Get, Key: f.key, Prefix: true}}}
}

// read reads the state once the watch is open, for as long as that takes.
func (f *feed) read(attempt int) {
	f.l.batches.Submit(f.c.path, f.readTxn(), func(r etcd.Result) {
		switch {
		case f.over():
		case r.Err == nil:
			f.c.saw(r.Seen)
		default:
			f.l.log.Warn("election not read", "path", f.c.path, "error", r.Err)
			if etcd.Final(r.Err) {
				f.complain("read", r.Err)
			}
			time.AfterFunc(clock.Backoff(attempt, time.Second), func() {
				f.l.post(func() {
					if !f.over() {
						f.read(attempt + 1)
					}
				})
			})
		}
	})
}
