package test

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The second layer: faults on the requests, by interceptors between gRPC and
// etcd. They are the innermost ones of the server, so clientv3's retries and
// etcd's own checks are the real ones, and a request that a fault turned away
// has not been applied.

// errFault is what a client gets of a fault that names no error of its own: like
// a broken connection, it tells nothing about the outcome.
var errFault = status.Error(codes.Unavailable, "simulated fault")

// faultRule is a fault on the messages that match. Of several rules the oldest acts.
// A rule acts once, unless times says more.
type faultRule struct {
	link  *link
	match matcher
	act   action
	left  int
	hits  int
}

// applier lets a message through to etcd, action is what becomes of one.
type (
	applier func(ctx context.Context) (any, error)
	action  func(ctx context.Context, msg any, apply applier) (any, error)
)

func (l *link) rule(m matcher, act action) *faultRule {
	r := &faultRule{link: l, match: m, act: act, left: 1}
	l.change(func() { l.rules = append(l.rules, r) })
	return r
}

// times lets the rule act on the next n messages; always, until off.
func (r *faultRule) times(n int) *faultRule { r.link.change(func() { r.left = n }); return r }

func (r *faultRule) always() *faultRule { return r.times(1 << 62) }
func (r *faultRule) off()               { r.times(0) }

// hit tells how often the rule has acted.
func (r *faultRule) hit() int {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	return r.hits
}

// fail turns the next matching message away with err, or errFault. On a stream
// it ends the stream.
func (l *link) fail(m matcher, err error) *faultRule {
	if err == nil {
		err = errFault
	}
	return l.rule(m, func(context.Context, any, applier) (any, error) { return nil, err })
}

// loseAnswer applies the next matching request, and tells the client errFault.
func (l *link) loseAnswer(m matcher) *faultRule {
	return l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
		apply(context.WithoutCancel(ctx))
		return nil, errFault
	})
}

// slow holds the next matching message up for d.
func (l *link) slow(m matcher, d time.Duration) *faultRule {
	return l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
		select {
		case <-time.After(d):
			return apply(ctx)
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// luck decides of one request when it comes again, and whether its client is told the second answer.
type luck func() (later time.Duration, second bool)

// duplicate lets the next matching request, which must be a repeatable one, reach etcd twice, as by a proxy that sends it
// again: at once, or later and at the server that runs then. Its client is told the first answer, or waits for the second.
// A renewal has but one: replies on a stream carry no number, and a second one would be taken for the next one's.
func (l *link) duplicate(m matcher, luck luck) *faultRule {
	return l.rule(m, func(ctx context.Context, msg any, apply applier) (any, error) {
		copied := proto.Clone(msg.(proto.Message)) // etcd's handlers may write into the message
		later, second := luck()
		reply, err := apply(ctx)
		again := make(chan struct{})
		repeat := func() {
			defer close(again)
			r, e := l.sim.serve(context.WithoutCancel(ctx), copied)
			if second {
				reply, err = r, e
			}
		}
		if later == 0 {
			repeat()
			return reply, err
		}
		time.AfterFunc(later, repeat)
		if !second {
			return reply, err
		}
		select {
		case <-again:
			return reply, err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// withheldRequest is one request kept back.
type withheldRequest struct {
	link   *link
	caught chan struct{}
	apply  func() (any, error)
	once   sync.Once
	done   chan struct{}
	reply  any
	err    error
}

// withhold keeps the next matching request back until commit. Its client is told
// err at once; if err is nil it hears nothing before commit, and its own deadline
// may pass. A message of a stream can only be withheld with a nil err.
func (l *link) withhold(m matcher, err error) *withheldRequest {
	w := &withheldRequest{link: l, caught: make(chan struct{}), done: make(chan struct{})}
	l.rule(m, func(ctx context.Context, _ any, apply applier) (any, error) {
		w.apply = func() (any, error) { return apply(context.WithoutCancel(ctx)) }
		close(w.caught)
		if err != nil {
			return nil, err
		}
		select {
		case <-w.done:
			return w.reply, w.err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
	return w
}

// wait waits until a request was caught; after an hour the test fails.
func (w *withheldRequest) wait() {
	select {
	case <-w.caught:
	case <-time.After(time.Hour):
		w.link.sim.t.Errorf("link %s: nothing to withhold came in an hour", w.link.name)
	}
}

// commit applies the request, though its client may have gone, and returns what
// etcd answered. It waits for the request first.
func (w *withheldRequest) commit() (any, error) {
	w.wait()
	w.once.Do(func() {
		if w.apply == nil {
			w.err = errFault
			return
		}
		w.reply, w.err = w.apply()
		close(w.done)
	})
	return w.reply, w.err
}

// seenRequest is one that reached the server. On streams each message is one.
type seenRequest struct {
	at     time.Duration
	method string
	msg    proto.Message
}

// requests returns the matching requests since the start or the last forget, with
// those that a rule turned away and with clientv3's own retries.
func (l *link) requests(m matcher) []seenRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []seenRequest
	for _, r := range l.seen {
		if m(r.method, r.msg) {
			found = append(found, r)
		}
	}
	return found
}

func (l *link) count(m matcher) int { return len(l.requests(m)) }
func (l *link) forget()             { l.change(func() { l.seen = nil }) }

// pick notes a request and returns what the rules want done with the message.
func (l *link) pick(method string, msg any, isRequest bool) action {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isRequest {
		// A copy: etcd's handlers may write into the message.
		l.seen = append(l.seen, seenRequest{l.sim.now(), method, proto.Clone(msg.(proto.Message))})
	}
	if l.deposed != nil {
		return l.deposed.pass
	}
	for _, r := range l.rules {
		if r.left > 0 && r.match(method, msg) {
			r.left--
			r.hits++
			return r.act
		}
	}
	return func(ctx context.Context, _ any, apply applier) (any, error) { return apply(ctx) }
}
