package systems

import (
	"context"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

var etcdStore = &Store{Name: "etcd", Floor: etcdFloorAt}

var etcdElection = &System{Name: "etcd Election", Store: "etcd", Dial: dialElection}

func dialEtcd(ctx context.Context, endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Context: context.WithoutCancel(ctx), Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
}

// electionClient shares one session among all elections of the process, which is the best that etcd's own package can do.
// It takes one candidate of each election: for more of them in one process there is a session each.
type electionClient struct {
	client  *clientv3.Client
	session *concurrency.Session
	ttl     int
	mu      *sync.Mutex
	taken   map[string]bool // elections that have a candidate with the shared session
}

func dialElection(ctx context.Context, endpoint string, ttl time.Duration) (Client, error) {
	c, err := dialEtcd(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	seconds := int(ttl / time.Second)
	s, err := concurrency.NewSession(c, concurrency.WithTTL(seconds))
	if err != nil {
		c.Close()
		return nil, err
	}
	return electionClient{c, s, seconds, new(sync.Mutex), map[string]bool{}}, nil
}

func (c electionClient) Candidate(path, id string) (Candidate, error) {
	c.mu.Lock()
	shared := !c.taken[path]
	c.taken[path] = true
	c.mu.Unlock()
	if shared {
		return electionCandidate{concurrency.NewElection(c.session, path), id, func() {
			c.mu.Lock()
			delete(c.taken, path)
			c.mu.Unlock()
		}}, nil
	}
	s, err := concurrency.NewSession(c.client, concurrency.WithTTL(c.ttl))
	if err != nil {
		return nil, err
	}
	return electionCandidate{concurrency.NewElection(s, path), id, func() { s.Close() }}, nil
}

func (c electionClient) Observe(ctx context.Context, path string, told func(string)) error {
	leaders := concurrency.NewElection(c.session, path).Observe(ctx)
	first := <-leaders
	go func() {
		for r := first; len(r.Kvs) > 0; r = <-leaders {
			told(string(r.Kvs[0].Value))
		}
	}()
	return ctx.Err()
}

func (c electionClient) Close() error {
	err := c.session.Close() // revokes the lease, and all keys go with it
	c.client.Close()
	return err
}

type electionCandidate struct {
	*concurrency.Election
	id   string
	over func()
}

func (c electionCandidate) Campaign(ctx context.Context) error { return c.Election.Campaign(ctx, c.id) }

func (c electionCandidate) Resign(ctx context.Context) error {
	defer c.over()
	return c.Election.Resign(ctx)
}

type etcdFloor struct {
	client  *clientv3.Client
	changes clientv3.WatchChan
	n       int
}

const floorKey = "floor"

func etcdFloorAt(ctx context.Context, endpoint string) (Floor, error) {
	c, err := dialEtcd(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	f := &etcdFloor{client: c, changes: c.Watch(context.WithoutCancel(ctx), floorKey)}
	return f, nil
}

func (f *etcdFloor) Put(ctx context.Context) error {
	f.n++
	_, err := f.client.Put(ctx, floorKey, strconv.Itoa(f.n))
	return err
}

// Hear waits for the put that was made last: some may have been made that nobody waited for.
func (f *etcdFloor) Hear(ctx context.Context) error {
	for {
		select {
		case r := <-f.changes:
			if n := len(r.Events); n > 0 && string(r.Events[n-1].Kv.Value) == strconv.Itoa(f.n) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *etcdFloor) Close() error { return f.client.Close() }

// EtcdWatch is no election: it observes a key with etcd's own watches, as many as there are observers.
var EtcdWatch = &System{Name: "etcd watch", Store: "etcd", Dial: func(ctx context.Context, endpoint string, _ time.Duration) (Client, error) {
	c, err := dialEtcd(ctx, endpoint)
	return watchClient{c}, err
}}

type watchClient struct{ client *clientv3.Client }

func (watchClient) Candidate(string, string) (Candidate, error) { return nil, ErrUnsupported }

func (c watchClient) Observe(ctx context.Context, path string, told func(string)) error {
	changes := c.client.Watch(ctx, path, clientv3.WithCreatedNotify())
	<-changes
	go func() {
		for r := range changes {
			for _, e := range r.Events {
				told(string(e.Kv.Value))
			}
		}
	}()
	return ctx.Err()
}

func (c watchClient) Close() error { return c.client.Close() }
