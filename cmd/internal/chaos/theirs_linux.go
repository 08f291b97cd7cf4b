package chaos

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/samcday/locked/internal/clock"
)

// theirs competes with etcd's own Election as its documentation has it: campaign, lead until the session is done, resign.
// Its writes are fenced by the CreateRevision of the key that it leads with.
type theirs struct {
	client *clientv3.Client
	path   string
	name   string
	ttl    time.Duration

	led atomic.Pointer[led] // nil while it does not lead

	mu   sync.Mutex
	stop func(cause string) // ends the campaign, or the term
}

type led struct {
	session *concurrency.Session
	token   int64
}

func (c *candidate) connectTheirs(context.Context) (func(int) (elector, error), func(), error) {
	client, err := clientv3.New(clientConfig(c.Endpoints, c.TTL))
	if err != nil {
		return nil, nil, err
	}
	one := func(e int) (elector, error) {
		return &theirs{client: client, path: electionPath(c.Prefix, e), name: c.Who, ttl: c.TTL}, nil
	}
	return one, func() { _ = client.Close() }, nil
}

func (t *theirs) belief() (token int64, remaining time.Duration) {
	l := t.led.Load()
	if l == nil {
		return 0, 0
	}
	select {
	case <-l.session.Done():
		return 0, 0
	default:
		return l.token, 0
	}
}

func (t *theirs) compete(ctx context.Context, lead leadFunc) {
	s, err := concurrency.NewSession(t.client, concurrency.WithTTL(int(t.ttl/time.Second)), concurrency.WithContext(ctx))
	if err != nil {
		clock.Pause(ctx, 100*time.Millisecond)
		return
	}
	working, cancel := context.WithCancel(s.Ctx())
	defer cancel()
	cause := atomic.Pointer[string]{}
	t.mu.Lock()
	t.stop = func(why string) {
		cause.CompareAndSwap(nil, &why)
		cancel()
	}
	t.mu.Unlock()
	e := concurrency.NewElection(s, t.path)
	if e.Campaign(working, t.name) == nil {
		t.led.Store(&led{session: s, token: e.Rev()})
		lead(working, t.term(e, func() string {
			if why := cause.Load(); why != nil {
				return *why
			}
			if ctx.Err() != nil {
				return causeStopped
			}
			return causeLost
		}))
		t.led.Store(nil)
	}
	closing, done := context.WithTimeout(context.Background(), leavingLimit)
	defer done()
	_ = e.Resign(closing) // if it does not come through, the lease ends
	s.Orphan()
}

func (t *theirs) term(e *concurrency.Election, cause func() string) term {
	key, rev := e.Key(), e.Rev()
	return term{
		token: rev,
		put: func(ctx context.Context, k, v string) (int64, error) {
			return putFenced(t.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", rev)), k, v)
		},
		cause: cause,
	}
}

func (t *theirs) leave(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil {
		t.stop(causeStopped)
	}
	return nil
}

func (t *theirs) yield(context.Context, string) error {
	if token, _ := t.belief(); token == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop(causeTransferred)
	return nil
}
