package etcd

import (
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
)

// Follower is who follows a watch: what that tells is posted to it, in the order of revisions. What a watch tells is true, but
// may be late, and may stop without a word. So each is opened before the state is read, and asked for progress every half TTL:
// see heartbeat.go.
type Follower interface {
	// Opened says that what comes after a revision will be told, and nothing of what was before.
	Opened(revision int64)
	// Changed is what has changed at one revision.
	Changed(revision int64, changes []election.Change)
	// Current says that all was told up to a revision that etcd was at when the heart beat last, and that it has answered promptly
	// then and the time before.
	Current()
	// Refused is why etcd refuses the watch, which is asked for again.
	Refused(err error)
	// Unreachable says that no watch could be had for a request timeout.
	Unreachable()
}

// Watch is a watch of one key, or of all that begin with it, opened anew for as long as it is needed.
type Watch struct {
	all      *Watches
	follower Follower
	key      string
	prefix   bool

	closed   bool
	stream   *stream // that it is on, if any
	id       int64   // there
	asked    time.Duration
	opened   bool
	from     int64 // revision that it was opened at, 0 for the present
	got      int64 // revision up to which it has told everything
	failures int   // in a row
}

// Open gives a watch of a key, or of all that begin with it.
func (all *Watches) Open(key string, prefix bool, f Follower) *Watch {
	w := &Watch{all: all, follower: f, key: key, prefix: prefix}
	all.Pace()
	w.open()
	return w
}

// open asks for the watch. The first time it begins at the present, which etcd serves without delay; later where it was
// left, so that nothing is missed, or at the present again where that was compacted away. That of one key always begins at the
// present: its follower needs the latest alone.
func (w *Watch) open() {
	if w.Over() {
		return
	}
	w.stream, w.opened, w.asked, w.from = w.all.stream(), false, w.all.host.Clock.Now(), w.got
	if !w.prefix {
		w.from = 0
	}
	w.stream.lastID++
	w.id = w.stream.lastID
	w.stream.watches[w.id] = w
	w.stream.asked = append(w.stream.asked, w.id)
	create := &etcdserverpb.WatchCreateRequest{StartRevision: w.from, WatchId: w.id}
	create.Key, create.RangeEnd = w.all.conn.span(w.key, w.prefix)
	w.stream.out.Post(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}})
}

// Over reports whether nobody needs the watch any more.
func (w *Watch) Over() bool { return w.closed || w.all.host.Context.Err() != nil }

// Close ends the watch.
func (w *Watch) Close() {
	w.closed = true
	if s := w.stream; s != nil && w.all.ending {
		w.quit() // the stream ends soon: to cancel ten thousand watches one by one would only delay that
	} else if s != nil {
		s.out.Post(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CancelRequest{
			CancelRequest: &etcdserverpb.WatchCancelRequest{WatchId: w.id},
		}})
		w.quit()
	}
}

// quit takes the watch from its stream.
func (w *Watch) quit() {
	delete(w.stream.watches, w.id)
	w.stream.retire()
	w.stream, w.opened = nil, false
}

// told takes a response of the watch.
func (w *Watch) told(resp *etcdserverpb.WatchResponse) {
	switch {
	case resp.Canceled:
		w.refused(resp)
	case resp.Created:
		w.opened, w.failures = true, 0
		if w.from == 0 {
			w.from, w.got = resp.Header.Revision, resp.Header.Revision
		}
		w.follower.Opened(w.from)
	default:
		w.changed(resp.Events)
	}
}

// changed hands on what has changed, one revision after the other.
func (w *Watch) changed(events []*mvccpb.Event) {
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		changes := make([]election.Change, n)
		for i, e := range events[:n] {
			changes[i] = w.all.conn.change(e.Kv, e.Type == mvccpb.DELETE)
		}
		events = events[n:]
		w.got = max(w.got, revision)
		w.follower.Changed(revision, changes)
		if w.Over() {
			return // the change has ended the need for the watch
		}
	}
}

// progressed notes that everything up to a revision was told.
func (w *Watch) progressed(revision int64) {
	if !w.opened {
		return
	}
	w.got = max(w.got, revision)
	if beat := w.all.beat.revision; beat != 0 && revision >= beat && w.all.steady() {
		w.follower.Current()
	}
}

// refused opens a watch anew that etcd has ended: at once if only its past was compacted away, on another stream if it
// is not this watch that etcd objects to.
func (w *Watch) refused(resp *etcdserverpb.WatchResponse) {
	s, log := w.stream, w.all.host.Log
	w.quit()
	w.failures++
	if resp.CompactRevision != 0 {
		log.Debug("watch compacted", "key", w.key, "from", w.from, "compacted", resp.CompactRevision)
		w.got = 0
		w.open()
		return
	}
	reason := resp.CancelReason
	if _, description, ok := strings.Cut(reason, " desc = "); ok { // it is a gRPC error, printed
		reason = description
	}
	err := rpctypes.Error(status.Error(codes.FailedPrecondition, reason))
	log.Debug("watch refused", "key", w.key, "error", err)
	denied := errors.Is(err, rpctypes.ErrPermissionDenied)
	if !denied || s.mayHaveExpired() {
		s.abandon()
	}
	if denied && s.mayHaveExpired() {
		w.open()
		return
	}
	w.follower.Refused(err)
	time.AfterFunc(clock.Backoff(w.failures, time.Second), func() { w.all.host.Post(w.open) })
}
