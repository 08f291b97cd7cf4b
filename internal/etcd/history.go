package etcd

import (
	"context"
	"errors"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/samcday/locked/internal/election"
)

// An etcd that goes back is one that was restored to an earlier state, or replaced, behind the same endpoints. What was known
// of it is not true any more, and its revisions come again, with other contents. Who waits for a revision later than all it
// knows may wait for ever; so it has to be found out.
//
// It shows when an answer names a revision that is lower than one that had been heard of when the request was sent, or another
// cluster. What a member says that lags is no sign of it: the answer must be one that takes a quorum. So it counts of what is
// committed, be it an entry that changes nothing (see proof.go); and a read is only a reason to have such an entry committed,
// since a deposed leader may answer reads. Who may not write asks twice.

// Back says that etcd has gone back.
type Back struct {
	From, To int64 // revisions: one that it was at, and one that it is at now
	Cluster  bool  // it is another cluster
}

// ErrBack is the error of what was sent before etcd was found to have gone back.
var ErrBack = errors.New("etcd has gone back meanwhile")

// history is what was heard of etcd's past.
type history struct {
	mu      sync.Mutex
	tell    func(Back)
	backs   int    // how often etcd has gone back
	cluster uint64 // 0 while that is not known
	latest  int64  // revision
	doubts  int    // reads in a row that told of an earlier one
}

// mark is what was known when a request was sent, or a stream opened.
type mark struct {
	backs  int
	latest int64
}

// WhenBack has a function called each time that etcd is found to have gone back, from any goroutine.
func (c *Conn) WhenBack(f func(Back)) {
	c.past.mu.Lock()
	defer c.past.mu.Unlock()
	c.past.tell = f
}

func (h *history) mark() mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return mark{h.backs, h.latest}
}

// isOver reports whether etcd has gone back since the mark.
func (h *history) isOver(m mark) bool { return h.mark().backs != m.backs }

// hear notes what an answer says of etcd, whoever it is from. It reports whether the answer is of another etcd than was known
// when the request was sent, as far as one member can tell.
func (h *history) hear(sent mark, got *etcdserverpb.ResponseHeader) (doubtful bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.fits(sent, got)
}

// fits notes a header that goes with what is known.
func (h *history) fits(sent mark, got *etcdserverpb.ResponseHeader) bool {
	if sent.backs != h.backs { // it is of the etcd before
		return true
	}
	if h.cluster != 0 && got.ClusterId != h.cluster || got.Revision < sent.latest {
		return false
	}
	h.cluster, h.latest = got.ClusterId, max(h.latest, got.Revision)
	return true
}

// agreed takes an answer that a quorum must have agreed on.
func (h *history) agreed(sent mark, got *etcdserverpb.ResponseHeader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubts = 0
	if !h.fits(sent, got) {
		h.goBack(sent, got)
	}
}

func (h *history) goBack(sent mark, got *etcdserverpb.ResponseHeader) {
	b := Back{From: sent.latest, To: got.Revision, Cluster: got.ClusterId != h.cluster}
	h.backs++
	h.cluster, h.latest, h.doubts = got.ClusterId, got.Revision, 0
	if h.tell != nil {
		h.tell(b)
	}
}

// read takes the answer to a linearizable read of an election. If that is doubtful, something is committed to be sure. A user
// who must not do that believes the second of two reads in a row.
func (c *Conn) read(ctx context.Context, key string, sent mark, got *etcdserverpb.ResponseHeader) {
	h := c.past
	if !h.hear(sent, got) {
		h.settle()
		return
	}
	path, _, _ := strings.Cut(key, election.Separator)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if _, err := c.Agree(ctx, []string{path}); err == nil || !refusal(err) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if sent.backs != h.backs {
		return
	}
	if h.doubts++; h.doubts > 1 {
		h.goBack(sent, got)
	}
}

// settle ends all doubt.
func (h *history) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubts = 0
}
