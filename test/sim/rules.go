package sim

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

// ErrFault is what a client gets of a fault that names no error of its own: like
// a broken connection, it tells nothing about the outcome.
var ErrFault = status.Error(codes.Unavailable, "simulated fault")

// Rule is a fault on the messages that match. Of several rules the oldest acts.
// A rule acts once, unless Times says more.
type Rule struct {
	link  *Link
	match Matcher
	act   Action
	left  int
	hits  int
}

type (
	// Apply lets a message through to etcd.
	Apply func(ctx context.Context) (any, error)
	// Action is what becomes of a message.
	Action func(ctx context.Context, msg any, apply Apply) (any, error)
)

// Rule lets an action decide what becomes of the next matching message.
func (l *Link) Rule(m Matcher, act Action) *Rule {
	r := &Rule{link: l, match: m, act: act, left: 1}
	l.change(func() { l.rules = append(l.rules, r) })
	return r
}

// Times lets the rule act on the next n messages.
func (r *Rule) Times(n int) *Rule { r.link.change(func() { r.left = n }); return r }

// Always lets the rule act until Off.
func (r *Rule) Always() *Rule { return r.Times(1 << 62) }

// Off ends the rule.
func (r *Rule) Off() { r.Times(0) }

// Hits tells how often the rule has acted.
func (r *Rule) Hits() int {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	return r.hits
}

// Fail turns the next matching message away with err, or ErrFault. On a stream
// it ends the stream.
func (l *Link) Fail(m Matcher, err error) *Rule {
	if err == nil {
		err = ErrFault
	}
	return l.Rule(m, func(context.Context, any, Apply) (any, error) { return nil, err })
}

// LoseAnswer applies the next matching request, and tells the client ErrFault.
func (l *Link) LoseAnswer(m Matcher) *Rule {
	return l.Rule(m, func(ctx context.Context, _ any, apply Apply) (any, error) {
		apply(context.WithoutCancel(ctx))
		return nil, ErrFault
	})
}

// Slow holds the next matching message up for d.
func (l *Link) Slow(m Matcher, d time.Duration) *Rule {
	return l.Rule(m, func(ctx context.Context, _ any, apply Apply) (any, error) {
		select {
		case <-time.After(d):
			return apply(ctx)
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	})
}

// Luck decides of one request when it comes again, and whether its client is told the second answer.
type Luck func() (later time.Duration, second bool)

// Duplicate lets the next matching request, which must be a repeatable one, reach etcd twice, as by a proxy that sends it
// again: at once, or later and at the server that runs then. Its client is told the first answer, or waits for the second.
// A renewal has but one: replies on a stream carry no number, and a second one would be taken for the next one's.
func (l *Link) Duplicate(m Matcher, luck Luck) *Rule {
	return l.Rule(m, func(ctx context.Context, msg any, apply Apply) (any, error) {
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

// Withheld is one request kept back.
type Withheld struct {
	link   *Link
	Caught chan struct{}
	apply  func() (any, error)
	once   sync.Once
	done   chan struct{}
	reply  any
	err    error
}

// Withhold keeps the next matching request back until Commit. Its client is told
// err at once; if err is nil it hears nothing before Commit, and its own deadline
// may pass. A message of a stream can only be withheld with a nil err.
func (l *Link) Withhold(m Matcher, err error) *Withheld {
	w := &Withheld{link: l, Caught: make(chan struct{}), done: make(chan struct{})}
	l.Rule(m, func(ctx context.Context, _ any, apply Apply) (any, error) {
		w.apply = func() (any, error) { return apply(context.WithoutCancel(ctx)) }
		close(w.Caught)
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

// Wait waits until a request was caught; after an hour the test fails.
func (w *Withheld) Wait() {
	select {
	case <-w.Caught:
	case <-time.After(time.Hour):
		w.link.sim.T.Errorf("link %s: nothing to withhold came in an hour", w.link.name)
	}
}

// Commit applies the request, though its client may have gone, and returns what
// etcd answered. It waits for the request first.
func (w *Withheld) Commit() (any, error) {
	w.Wait()
	w.once.Do(func() {
		if w.apply == nil {
			w.err = ErrFault
			return
		}
		w.reply, w.err = w.apply()
		close(w.done)
	})
	return w.reply, w.err
}

// Request is one that reached the server. On streams each message is one.
type Request struct {
	At     time.Duration
	Method string
	Msg    proto.Message
}

// Requests returns the matching requests since the start or the last Forget, with
// those that a rule turned away and with clientv3's own retries.
func (l *Link) Requests(m Matcher) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Request
	for _, r := range l.seen {
		if m(r.Method, r.Msg) {
			found = append(found, r)
		}
	}
	return found
}

// Count is the number of Requests.
func (l *Link) Count(m Matcher) int { return len(l.Requests(m)) }

// Forget drops the requests seen so far.
func (l *Link) Forget() { l.change(func() { l.seen = nil }) }

// pick notes a request and returns what the rules want done with the message.
func (l *Link) pick(method string, msg any, isRequest bool) Action {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isRequest {
		// A copy: etcd's handlers may write into the message.
		l.seen = append(l.seen, Request{l.sim.Now(), method, proto.Clone(msg.(proto.Message))})
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
	return func(ctx context.Context, _ any, apply Apply) (any, error) { return apply(ctx) }
}
