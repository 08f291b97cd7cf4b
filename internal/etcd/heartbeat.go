package etcd

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// heartbeat asks etcd, a little more often than every half TTL, for its revision and then for the progress of the watch
// stream. A watch that has not come as far as that revision by the next beat is stalled: a member that is cut off from
// the others answers, but at an old revision. It costs two requests, however many elections there are.
type heartbeat struct {
	timer    *time.Timer
	every    time.Duration // 0 while it stands still
	revision int64         // of the last beat; 0 if it failed
	asked    time.Duration // reading of the clock when progress was asked for at that revision
	asking   bool          // the last one was not answered yet
	slow     bool          // the last one was not answered in half the time that there is between two
	wasSlow  bool          // nor the one before
}

const (
	// longestBeat bounds the time for which a stalled watch can go unseen, however long the TTLs are.
	longestBeat = 5 * time.Second
	// progressPatience is how long etcd may take to tell of its progress, before a watch that has not come so far is stalled.
	// Shorter beats leave it half of the time between two.
	progressPatience = time.Second
)

// Pace makes the heart beat, and faster if somebody wants it who relies on the watches now.
func (all *Watches) Pace() {
	ttl := all.rely()
	if ttl == 0 {
		return
	}
	if every := min(election.Period(ttl), longestBeat); all.beat.every == 0 || every < all.beat.every {
		all.beat.every = every
		all.beat.timer.Reset(every)
	}
}

// beats looks for stalled watches, and asks for progress again.
func (all *Watches) beats() {
	var sample *Watch
	known := all.beat.revision
	if all.host.Clock.Now()-all.beat.asked < min(progressPatience, all.beat.every/2) {
		known = 0 // it came late: etcd has hardly had the time to answer
	}
	for s := range all.open {
		if w := s.laggard(known); w != nil {
			all.host.Log.Debug("watch stalled", "key", w.key, "progress", w.got, "revision", known)
			orphans := s.leave()
			all.streamFailed(orphans)
			for _, w := range orphans {
				w.open()
			}
			continue
		}
		for _, w := range s.watches {
			sample = w
		}
	}
	if all.beat.asking {
		all.beat.slow = true
	}
	all.beat.revision, all.beat.every = 0, 0
	all.Pace()
	if sample != nil {
		every := all.beat.every
		all.beat.asking = true
		all.host.Spawn(func() { all.askProgress(sample, every) })
	}
}

// laggard is a watch that has not come as far as a revision, or waits to be opened while none was for too long: etcd opens
// them one after the other, and many take a while.
func (s *stream) laggard(revision int64) *Watch {
	patience := s.all.host.Clock.Now() - s.all.conn.timeout
	for _, w := range s.watches {
		if w.opened && w.got < revision || !w.opened && max(w.asked, s.opened) < patience {
			return w
		}
	}
	return nil
}

// askProgress asks etcd for its revision, and then all streams for their progress. So much time is between two beats.
func (all *Watches) askProgress(w *Watch, every time.Duration) {
	ctx, cancel := context.WithTimeout(all.host.Context, all.conn.timeout)
	defer cancel()
	options := []clientv3.OpOption{clientv3.WithCountOnly()}
	if w.prefix {
		options = append(options, clientv3.WithPrefix())
	}
	sent, begun := all.conn.past.mark(), all.host.Clock.Now()
	resp, err := all.conn.kv.Get(ctx, w.key, options...)
	if err != nil {
		all.host.Log.Debug("revision not read", "key", w.key, "error", err)
		return
	}
	all.conn.read(ctx, w.key, sent, resp.Header)
	all.host.Post(func() {
		if all.conn.past.isOver(sent) {
			return
		}
		now := all.host.Clock.Now()
		all.beat.revision, all.beat.asked = resp.Header.Revision, now
		all.beat.asking, all.beat.slow, all.beat.wasSlow = false, now-begun > every/2, all.beat.slow
		for s := range all.open {
			s.out.Post(progressRequest)
		}
	})
}

// steady reports whether etcd has answered promptly of late. One that was stopped and goes on has keys of leases whose time is
// over, until it has looked for those.
func (all *Watches) steady() bool { return !all.beat.slow && !all.beat.wasSlow }

var progressRequest = &etcdserverpb.WatchRequest{
	RequestUnion: &etcdserverpb.WatchRequest_ProgressRequest{ProgressRequest: &etcdserverpb.WatchProgressRequest{}},
}
