package locked

import (
	"context"
	"iter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// heartbeat asks etcd, a little more often than every half TTL, for its revision and then for the progress of the watch
// stream. A watch that has not come as far as that revision by the next beat is stalled: a member that is cut off from
// the others answers, but at an old revision. It costs two requests, however many elections there are.
type heartbeat struct {
	timer    *time.Timer
	every    time.Duration // 0 while it stands still
	revision int64         // of the last beat; 0 if it failed
}

// pace makes the heart beat, and faster if a node wants it.
func (l *Locker) pace() {
	if every := period(l.shortest()); l.beat.every == 0 || every < l.beat.every {
		l.beat.every = every
		l.beat.timer.Reset(every)
	}
}

// shortest is the shortest TTL of the nodes that run, or else the locker's own.
func (l *Locker) shortest() time.Duration {
	ttl := time.Duration(0)
	for t, keepers := range l.keepers {
		for _, k := range keepers {
			if len(k.nodes) > 0 && (ttl == 0 || t < ttl) {
				ttl = t
			}
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
	for f := range l.openFeeds() {
		if f.progress < l.beat.revision {
			f.stalled()
		} else {
			sample = f
		}
	}
	l.beat.revision, l.beat.every = 0, 0
	if len(l.contests) > 0 {
		l.pace()
	}
	if sample != nil {
		l.spawn(func() { l.askRevision(sample) })
	}
}

// openFeeds gives all watches that are open.
func (l *Locker) openFeeds() iter.Seq[*feed] {
	return func(yield func(*feed) bool) {
		for _, c := range l.contests {
			for _, f := range []*feed{c.feed, c.pathFeed} {
				if f != nil && f.opened && !yield(f) {
					return
				}
			}
		}
	}
}

// stalled opens the watch anew, on another stream.
func (f *feed) stalled() {
	f.l.log.Info("watch stalled", "key", f.key, "progress", f.progress, "revision", f.l.beat.revision)
	f.l.streams.abandon(f.stream)
	f.opened = false
	f.reopen()
}

// askRevision asks etcd for its revision, and then the watches for their progress.
func (l *Locker) askRevision(f *feed) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	options := []clientv3.OpOption{clientv3.WithCountOnly()}
	if f.prefix {
		options = append(options, clientv3.WithPrefix())
	}
	resp, err := l.client.Get(ctx, f.key, options...)
	if err != nil {
		l.log.Warn("revision not read", "key", f.key, "error", err)
		return
	}
	l.post(func() {
		l.beat.revision = resp.Header.Revision
		streams := map[uint64]bool{}
		for f := range l.openFeeds() {
			if stream := f.stream; !streams[stream] {
				streams[stream] = true
				l.spawn(func() { l.askProgress(stream) })
			}
		}
	})
}

// askProgress asks a stream that watches are open on. Mostly there is one, but those that are older than the last that
// broke stay where they are.
func (l *Locker) askProgress(stream uint64) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	if err := l.client.RequestProgress(l.streamContext(ctx, stream)); err != nil {
		l.log.Warn("progress not asked for", "error", err)
	}
}

// alive tells everybody that the elected node is, if the watch is proven to be up to date.
func (f *feed) alive() {
	if beat := f.l.beat.revision; beat != 0 && f.progress >= beat && f.c.view.Term.Exists() {
		f.c.tell(f.c.about(Ping), everybody)
	}
}
