package locked

import (
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// watch is one watch of an election. It belongs to the loop.
type watch struct {
	l     *Locker
	st    *electionState
	key   string
	path  bool // of PATH alone; otherwise of what begins with key
	whole bool // of all keys but PATH; otherwise of the term alone
	on    *etcd.Watch
}

func (l *Locker) openWatch(st *electionState, whole bool) *watch {
	w := &watch{l: l, st: st, key: election.TermPrefix(st.path), whole: whole}
	if whole {
		w.key = election.Prefix(st.path)
	}
	return w.start()
}

func (l *Locker) openPathWatch(st *electionState) *watch {
	return (&watch{l: l, st: st, key: st.path, path: true}).start()
}

func (w *watch) start() *watch {
	w.on = w.l.watches.Open(w.key, !w.path, w)
	return w
}

// over reports whether nobody needs the watch any more.
func (w *watch) over() bool { return w.on.Over() }

// close ends the watch. A watch that is nil is none.
func (w *watch) close() {
	if w != nil {
		w.on.Close()
	}
}

// Opened reads the state, unless the view is as new as the watch.
func (w *watch) Opened(from int64) {
	stale := w.path && w.st.view.PathRevision < from
	if stale || !w.path && w.st.view.Opened(from) {
		w.read(1)
	}
}

// Changed brings the view forward.
func (w *watch) Changed(revision int64, changes []election.Change) {
	for _, c := range changes {
		w.st.entered(c, revision)
	}
	if w.path && w.st.view.ApplyPath(revision, changes[0]) || !w.path && w.st.view.Apply(w.st.path, revision, changes) {
		w.st.changed()
	}
}

// Current tells that the elected node's lease is alive, if it still shows.
func (w *watch) Current() {
	w.st.complaint = nil
	if !w.path && w.st.view.Term.Exists() {
		w.st.tell(w.st.about(EventPing), everybody)
	}
}

// Unreachable tells those who listen.
func (w *watch) Unreachable() {
	if !w.path {
		w.complain("watch", w.l.unreached())
	}
}

// Refused tells those who listen, if the watch is refused for good.
func (w *watch) Refused(err error) {
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		w.complainAsRead(err)
	case etcd.Final(err):
		w.complain("watch", err)
	}
}

// complainAsRead tells why a watch is forbidden as etcd tells it of a read of the same keys: before 3.5.6 it says "permission
// denied" of a watch whatever is wrong with the user.
func (w *watch) complainAsRead(err error) {
	w.l.batches.Submit(w.st.path, w.readTxn(), func(r etcd.Result) {
		if w.over() {
			return
		}
		if etcd.Final(r.Err) {
			err = r.Err
		}
		w.complain("watch", err)
	})
}

// complain tells everybody of an error that will not go away by itself.
func (w *watch) complain(request string, err error) {
	cause := w.l.etcd.Explain(w.st.path, request, err)
	if w.st.complaint != nil && w.st.complaint.Error() == cause.Error() {
		return // everybody knows
	}
	w.st.complaint = cause
	w.st.tell(Event{Kind: EventError, Path: w.st.path, Cause: cause}, everybody)
}

// readTxn reads what the watch is about.
func (w *watch) readTxn() election.Txn {
	if w.whole || w.path {
		return election.Txn{Then: election.ReadAll(w.st.path)}
	}
	return election.Txn{Then: []election.Op{{Kind: election.Get, Key: w.key, Prefix: true}}}
}

// read reads the state once the watch is open, for as long as that takes.
func (w *watch) read(attempt int) {
	w.l.batches.Submit(w.st.path, w.readTxn(), func(r etcd.Result) {
		switch {
		case w.over():
		case r.Err == nil:
			w.st.saw(r.Seen)
		default:
			w.l.log.Debug("election not read", "path", w.st.path, "error", r.Err)
			if etcd.Final(r.Err) {
				w.complain("read", r.Err)
			}
			time.AfterFunc(clock.Backoff(attempt, time.Second), func() {
				w.l.post(func() {
					if !w.over() {
						w.read(attempt + 1)
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
