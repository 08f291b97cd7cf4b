package locked

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/etcd"
)

// streams are the watch streams of a locker. Mostly there is one, that all watches share: a watch costs no goroutine, and
// one notice of progress speaks for all of them. New watches go onto the current stream; one that is stalled, or whose
// token has expired so that it refuses new watches, is left for another, while the watches that it still serves stay.
//
// It speaks etcd's watch protocol itself: clientv3 spends a goroutine on each watch, and panics (3.7.3, "send on closed
// channel" in broadcastResponse) when a notice of progress follows upon the cancellation of a watch by the server.
type streams struct {
	current  *stream
	open     map[*stream]struct{}
	failures int           // in a row
	since    time.Duration // reading of the clock at the first of them, or when the user was told of them
	beat     heartbeat
}

// stream is one watch stream. It belongs to the loop.
type stream struct {
	l      *Locker
	cancel context.CancelFunc
	out    *mailbox[*etcdserverpb.WatchRequest]
	feeds  map[int64]*feed
	lastID int64
	born   time.Duration // reading of the clock
	asked  []int64       // watches that etcd has not answered to, in order
	opened time.Duration // reading of the clock when it last answered to one
}

// shortestToken is the shortest life that etcd's --auth-token-ttl gives to an auth token.
const shortestToken = time.Second

// stream gives the one for new watches.
func (l *Locker) stream() *stream {
	if l.streams.current != nil {
		return l.streams.current
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(l.ctx))
	s := &stream{l: l, cancel: cancel, born: l.clock.Now(), out: newMailbox[*etcdserverpb.WatchRequest](), feeds: map[int64]*feed{}}
	l.streams.current = s
	l.streams.open[s] = struct{}{}
	l.spawn(func() { s.run(ctx) })
	return s
}

// run opens the stream and hands on what it tells, until it ends.
func (s *stream) run(ctx context.Context) {
	defer s.cancel()
	rpc, err := s.l.etcd.Watches.Watch(ctx, etcd.AnySize)
	if err == nil {
		s.l.spawn(func() { s.sendAll(ctx, rpc) })
	}
	for err == nil {
		var resp *etcdserverpb.WatchResponse
		if resp, err = rpc.Recv(); err == nil {
			s.l.post(func() { s.told(resp) })
		}
	}
	s.l.post(func() { s.ended(err) })
}

// sendAll sends requests, which may have to wait, until the stream ends.
func (s *stream) sendAll(ctx context.Context, rpc etcdserverpb.Watch_WatchClient) {
	for {
		select {
		case <-s.out.wake:
			for _, request := range s.out.take() {
				if err := rpc.Send(request); err != nil {
					return // the receiver gets it too
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// told takes a response of etcd's.
func (s *stream) told(resp *etcdserverpb.WatchResponse) {
	if resp.Created { // the answers come in order, and that of a watch that is refused does not name it
		resp.WatchId, s.asked, s.opened = s.asked[0], s.asked[1:], s.l.clock.Now()
	}
	if resp.WatchId == clientv3.InvalidWatchID { // a notice of progress, of all watches
		for _, f := range s.feeds {
			f.progressed(resp.Header.Revision)
		}
		return
	}
	if f := s.feeds[resp.WatchId]; f != nil {
		s.l.streams.failures = 0
		f.told(resp)
	}
}

// ended opens the watches of a stream that has ended on another one, after a while.
func (s *stream) ended(err error) {
	if _, open := s.l.streams.open[s]; !open || s.l.ctx.Err() != nil {
		return
	}
	s.l.log.Info("watch stream ended", "watches", len(s.feeds), "error", err)
	orphans := s.leave()
	s.l.streamFailed(orphans)
	time.AfterFunc(clock.Backoff(s.l.streams.failures, time.Second), func() {
		s.l.post(func() {
			for _, f := range orphans {
				f.open()
			}
		})
	})
}

// streamFailed tells those who listen, once in a request timeout, that their watches cannot be had.
func (l *Locker) streamFailed(orphans []*feed) {
	now := l.clock.Now()
	if l.streams.failures++; l.streams.failures == 1 {
		l.streams.since = now
	}
	if now-l.streams.since < l.timeout {
		return
	}
	l.streams.since = now
	for _, f := range orphans {
		if !f.path {
			f.complain("watch", l.unreached())
		}
	}
}

// mayHaveExpired reports whether the auth token that the stream was opened with may not be good any more. Before 3.5.6 etcd
// refuses a watch for that with "permission denied", as if a role were missing.
func (s *stream) mayHaveExpired() bool { return s.l.clock.Now()-s.born >= shortestToken }

// leave ends the stream, and gives the watches that were on it.
func (s *stream) leave() []*feed {
	s.abandon()
	delete(s.l.streams.open, s)
	s.cancel()
	var orphans []*feed
	for _, f := range s.feeds {
		f.stream = nil
		orphans = append(orphans, f)
	}
	clear(s.feeds)
	return orphans
}

// abandon makes new watches go onto another stream. This one ends with the last of its own.
func (s *stream) abandon() {
	if s.l.streams.current == s {
		s.l.streams.current = nil
	}
	s.retire()
}

func (s *stream) retire() {
	if len(s.feeds) == 0 && s.l.streams.current != s {
		delete(s.l.streams.open, s)
		s.cancel()
	}
}
