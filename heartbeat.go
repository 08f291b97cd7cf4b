package locked

import (
	"context"
	"fmt"
	"slices"
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
	highest  int64         // of all beats
}

const (
	// longestBeat bounds the time for which a stalled watch can go unseen, however long the TTLs are.
	longestBeat = 5 * time.Second
	// progressPatience is how long etcd may take to tell of its progress, before a watch that has not come so far is stalled.
	// Shorter beats leave it half of the time between two.
	progressPatience = time.Second
)

// pace makes the heart beat, and faster if a node wants it.
func (l *Locker) pace() {
	if every := min(election.Period(l.shortest()), longestBeat); l.beat.every == 0 || every < l.beat.every {
		l.beat.every = every
		l.beat.timer.Reset(every)
	}
}

// shortest is the shortest TTL of the nodes that run, or else the locker's own.
func (l *Locker) shortest() time.Duration {
	ttl := time.Duration(0)
	for t, keepers := range l.keepers {
		if (ttl == 0 || t < ttl) && slices.ContainsFunc(keepers, func(k *keeper) bool { return len(k.nodes) > 0 }) {
			ttl = t
		}
	}
	if ttl == 0 {
		return l.ttl
	}
	return ttl
}

// beats looks for stalled watches, and asks for progress again.
func (l *Locker) beats() {
	var sample *feed
	known := l.beat.revision
	if l.clock.Now()-l.beat.asked < min(progressPatience, l.beat.every/2) {
		known = 0 // it came late: etcd has hardly had the time to answer
	}
	for s := range l.streams.open {
		if f := s.laggard(known); f != nil {
			l.log.Info("watch stalled", "key", f.key, "progress", f.got, "revision", known)
			orphans := s.leave()
			l.streamFailed(orphans)
			for _, f := range orphans {
				f.open()
			}
			continue
		}
		for _, f := range s.feeds {
			sample = f
		}
	}
	l.beat.revision, l.beat.every = 0, 0
	if len(l.contests) > 0 {
		l.pace()
	}
	if sample != nil {
		highest := l.beat.highest
		l.spawn(func() { l.askProgress(sample, highest) })
	}
}

// laggard is a watch that has not come as far as a revision, or waits to be opened while none was for too long: etcd opens
// them one after the other, and many take a while.
func (s *stream) laggard(revision int64) *feed {
	patience := s.l.clock.Now() - s.l.timeout
	for _, f := range s.feeds {
		if f.opened && f.got < revision || !f.opened && max(f.asked, s.opened) < patience {
			return f
		}
	}
	return nil
}

// askProgress asks etcd for its revision, which was known to be so high before, and then all streams for their progress.
func (l *Locker) askProgress(f *feed, known int64) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	options := []clientv3.OpOption{clientv3.WithCountOnly()}
	if !f.path {
		options = append(options, clientv3.WithPrefix())
	}
	resp, err := l.etcd.KV.Get(ctx, f.key, options...)
	if err != nil {
		l.log.Warn("revision not read", "key", f.key, "error", err)
		return
	}
	l.post(func() {
		l.beat.revision, l.beat.asked = resp.Header.Revision, l.clock.Now()
		l.beat.highest = max(l.beat.highest, resp.Header.Revision)
		if resp.Header.Revision < known {
			l.wentBack()
		}
		for s := range l.streams.open {
			s.out.post(progressRequest)
		}
	})
}

// wentBack tells everybody that etcd has lost its history: what is known of it is newer than all that it will say for long.
func (l *Locker) wentBack() {
	err := fmt.Errorf("locked: etcd was at revision %d and has gone back, as one does that was replaced, or restored without "+
		"--bump-revision: restart the programs that compete, which wait for a later one", l.beat.highest)
	l.log.Error("etcd has gone back", "error", err)
	for _, c := range l.contests {
		c.tell(Event{Kind: EventError, Path: c.path, Cause: err}, everybody)
	}
}

var progressRequest = &etcdserverpb.WatchRequest{
	RequestUnion: &etcdserverpb.WatchRequest_ProgressRequest{ProgressRequest: &etcdserverpb.WatchProgressRequest{}},
}
