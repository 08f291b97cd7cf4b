package etcd

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/mailbox"
)

// Watches share watch streams. Mostly there is one, that all watches are on: a watch costs no goroutine, and
// one notice of progress speaks for all of them. New watches go onto the current stream; one that is stalled, or whose
// token has expired so that it refuses new watches, is left for another, while the watches that it still serves stay.
//
// It speaks etcd's watch protocol itself: clientv3 spends a goroutine on each watch, and panics (3.7.3, "send on closed
// channel" in broadcastResponse) when a notice of progress follows upon the cancellation of a watch by the server.
type Watches struct {
	conn *Conn
	host Host
	rely func() time.Duration

	ending   bool
	current  *stream
	open     map[*stream]struct{}
	failures int           // in a row
	since    time.Duration // reading of the clock at the first of them, or when the followers were told of them
	beat     heartbeat
}

// NewWatches gives those of a host. It asks for the shortest TTL of those who rely on the watches, 0 if nobody does.
func NewWatches(c *Conn, h Host, rely func() (ttl time.Duration)) *Watches {
	all := &Watches{conn: c, host: h, rely: rely, open: map[*stream]struct{}{}}
	all.beat.timer = time.AfterFunc(time.Hour, func() { h.Post(all.beats) })
	all.beat.timer.Stop()
	return all
}

// Ending says that the host ends soon, and all streams with it.
func (all *Watches) Ending() { all.ending = true }

// Stop stops the heart.
func (all *Watches) Stop() { all.beat.timer.Stop() }

// stream is one watch stream.
type stream struct {
	all     *Watches
	cancel  context.CancelFunc
	out     *mailbox.Mailbox[*etcdserverpb.WatchRequest]
	watches map[int64]*Watch
	lastID  int64
	born    time.Duration // reading of the clock
	asked   []int64       // watches that etcd has not answered to, in order
	opened  time.Duration // reading of the clock when it last answered to one
}

// shortestToken is the shortest life that etcd's --auth-token-ttl gives to an auth token.
const shortestToken = time.Second

// stream gives the one for new watches.
func (all *Watches) stream() *stream {
	if all.current != nil {
		return all.current
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(all.host.Context))
	s := &stream{
		all: all, cancel: cancel, born: all.host.Clock.Now(), out: mailbox.New[*etcdserverpb.WatchRequest](), watches: map[int64]*Watch{},
	}
	all.current = s
	all.open[s] = struct{}{}
	all.host.Spawn(func() { s.run(ctx) })
	return s
}

// run opens the stream and hands on what it tells, until it ends.
func (s *stream) run(ctx context.Context) {
	defer s.cancel()
	begun := s.all.conn.past.mark()
	rpc, err := s.all.conn.watches.Watch(ctx, AnySize)
	if err == nil {
		s.all.host.Spawn(func() { s.sendAll(ctx, rpc) })
	}
	for err == nil {
		var resp *etcdserverpb.WatchResponse
		if resp, err = rpc.Recv(); err == nil {
			s.all.conn.past.hear(begun, resp.Header)
			s.all.host.Post(func() { s.told(resp) })
		}
	}
	s.all.host.Post(func() { s.ended(err) })
}

// sendAll sends requests, which may have to wait, until the stream ends.
func (s *stream) sendAll(ctx context.Context, rpc etcdserverpb.Watch_WatchClient) {
	for {
		select {
		case <-s.out.Wake():
			for _, request := range s.out.Take() {
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
		resp.WatchId, s.asked, s.opened = s.asked[0], s.asked[1:], s.all.host.Clock.Now()
	}
	if resp.WatchId == clientv3.InvalidWatchID { // a notice of progress, of all watches
		for _, w := range s.watches {
			w.progressed(resp.Header.Revision)
		}
		return
	}
	if w := s.watches[resp.WatchId]; w != nil {
		s.all.failures = 0
		w.told(resp)
	}
}

// ended opens the watches of a stream that has ended on another one, after a while.
func (s *stream) ended(err error) {
	if _, open := s.all.open[s]; !open || s.all.host.Context.Err() != nil {
		return
	}
	s.all.host.Log.Debug("watch stream ended", "watches", len(s.watches), "error", err)
	orphans := s.leave()
	s.all.streamFailed(orphans)
	time.AfterFunc(clock.Backoff(s.all.failures, time.Second), func() {
		s.all.host.Post(func() {
			for _, w := range orphans {
				w.open()
			}
		})
	})
}

// streamFailed tells the followers, once in a request timeout, that their watches cannot be had.
func (all *Watches) streamFailed(orphans []*Watch) {
	now := all.host.Clock.Now()
	if all.failures++; all.failures == 1 {
		all.since = now
	}
	if now-all.since < all.conn.timeout {
		return
	}
	all.since = now
	for _, w := range orphans {
		w.follower.Unreachable()
	}
}

// mayHaveExpired reports whether the auth token that the stream was opened with may not be good any more. Before 3.5.6 etcd
// refuses a watch for that with "permission denied", as if a role were missing.
func (s *stream) mayHaveExpired() bool { return s.all.host.Clock.Now()-s.born >= shortestToken }

// leave ends the stream, and gives the watches that were on it.
func (s *stream) leave() []*Watch {
	s.abandon()
	delete(s.all.open, s)
	s.cancel()
	var orphans []*Watch
	for _, w := range s.watches {
		w.stream = nil
		orphans = append(orphans, w)
	}
	clear(s.watches)
	return orphans
}

// abandon makes new watches go onto another stream. This one ends with the last of its own.
func (s *stream) abandon() {
	if s.all.current == s {
		s.all.current = nil
	}
	s.retire()
}

func (s *stream) retire() {
	if len(s.watches) == 0 && s.all.current != s {
		delete(s.all.open, s)
		s.cancel()
	}
}
