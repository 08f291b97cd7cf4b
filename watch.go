package locked

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// feed is one watch of an election. It belongs to the loop.
type feed struct {
	l     *Locker
	st    *electionState
	key   string
	path  bool // of PATH alone; otherwise of what begins with key
	whole bool // of all keys but PATH; otherwise of the term alone
	watch *etcd.Watch
}

func (l *Locker) openFeed(st *electionState, whole bool) *feed {
	f := &feed{l: l, st: st, key: election.TermPrefix(st.path), whole: whole}
	if whole {
		f.key = election.Prefix(st.path)
	}
	return f.start()
}

func (l *Locker) openPathFeed(st *electionState) *feed {
	return (&feed{l: l, st: st, key: st.path, path: true}).start()
}

func (f *feed) start() *feed {
	f.watch = f.l.watches.Open(f.key, !f.path, f)
	return f
}

// over reports whether nobody needs the feed any more.
func (f *feed) over() bool { return f.watch.Over() }

// close ends the feed. A feed that is nil is none.
func (f *feed) close() {
	if f != nil {
		f.watch.Close()
	}
}

// Opened reads the state, unless the view is as new as the watch.
func (f *feed) Opened(from int64) {
	stale := f.path && f.st.view.PathRevision < from
	if stale || !f.path && f.st.view.Opened(from) {
		f.read(1)
	}
}

// Changed brings the view forward.
func (f *feed) Changed(revision int64, changes []election.Change) {
	if f.path && f.st.view.ApplyPath(revision, changes[0]) || !f.path && f.st.view.Apply(f.st.path, revision, changes) {
		f.st.changed()
	}
}

// Current tells that the elected node's lease is alive, if it still shows.
func (f *feed) Current() {
	if !f.path && f.st.view.Term.Exists() {
		f.st.tell(f.st.about(EventPing), everybody)
	}
}

// Unreachable tells those who listen.
func (f *feed) Unreachable() {
	if !f.path {
		f.complain("watch", f.l.unreached())
	}
}

// Refused tells those who listen, if the watch is refused for good.
func (f *feed) Refused(err error) {
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		f.complainAsRead(err)
	case etcd.Final(err):
		f.complain("watch", err)
	}
}

// complainAsRead tells why a watch is forbidden as etcd tells it of a read of the same keys: before 3.5.6 it says "permission
// denied" of a watch whatever is wrong with the user.
func (f *feed) complainAsRead(err error) {
	f.l.batches.Submit(f.st.path, f.readTxn(), func(r etcd.Result) {
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
	f.st.tell(Event{Kind: EventError, Path: f.st.path, Cause: f.l.etcd.Explain(f.st.path, request, err)}, everybody)
}

// readTxn reads what the feed is about.
func (f *feed) readTxn() election.Txn {
	if f.whole || f.path {
		return election.Txn{Then: election.ReadAll(f.st.path)}
	}
	return election.Txn{Then: []election.Op{{Kind: election.Get, Key: f.key, Prefix: true}}}
}

// read reads the state once the watch is open, for as long as that takes.
func (f *feed) read(attempt int) {
	f.l.batches.Submit(f.st.path, f.readTxn(), func(r etcd.Result) {
		switch {
		case f.over():
		case r.Err == nil:
			f.st.saw(r.Seen)
		default:
			f.l.log.Warn("election not read", "path", f.st.path, "error", r.Err)
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

// rely is the shortest TTL of the nodes that run, or else the locker's own: 0 if nobody watches.
func (l *Locker) rely() time.Duration {
	if len(l.states) == 0 {
		return 0
	}
	ttl := time.Duration(0)
	for t, groups := range l.groups {
		if (ttl == 0 || t < ttl) && slices.ContainsFunc(groups, func(g *leaseGroup) bool { return len(g.nodes) > 0 }) {
			ttl = t
		}
	}
	if ttl == 0 {
		return l.ttl
	}
	return ttl
}

// wentBack tells everybody that etcd has lost its history: what is known of it is newer than all that it will say for long.
func (l *Locker) wentBack(revision int64) {
	err := fmt.Errorf("locked: etcd was at revision %d and has gone back, as one does that was replaced, or restored without "+
		"--bump-revision: restart the programs that compete, which wait for a later one", revision)
	l.log.Error("etcd has gone back", "error", err)
	for _, st := range l.states {
		st.tell(Event{Kind: EventError, Path: st.path, Cause: err}, everybody)
	}
}
