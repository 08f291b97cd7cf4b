package systems

import (
	"context"
	"strconv"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

var redisStore = &Store{Name: "Redis", Env: "BENCH_REDIS", Floor: redisFloorAt}

var redisRueidis = &System{
	Name: "rueidislock", Store: "Redis", Dial: dialRueidis, Unfit: map[string]string{"observers": noObservers},
}

type rueidisClient struct {
	without
	locker rueidislock.Locker
}

func dialRueidis(_ context.Context, endpoint string, ttl time.Duration) (Client, error) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{endpoint}},
		KeyMajority:  1, KeyValidity: ttl,
	})
	return rueidisClient{locker: l}, err
}

func (c rueidisClient) Candidate(path, _ string) (Candidate, error) {
	return &rueidisCandidate{locker: c.locker, path: path}, nil
}

func (c rueidisClient) Close() error {
	c.locker.Close()
	return nil
}

type rueidisCandidate struct {
	locker rueidislock.Locker
	path   string
	unlock context.CancelFunc
}

// Campaign does not give ctx to the library, for which that is how long the lock is held.
func (c *rueidisCandidate) Campaign(ctx context.Context) error {
	return Heed(ctx, func() (err error) {
		_, c.unlock, err = c.locker.WithContext(context.WithoutCancel(ctx), c.path)
		return err
	})
}

func (c *rueidisCandidate) Resign(ctx context.Context) error {
	return Heed(ctx, func() error {
		c.unlock()
		return nil
	})
}

var redisRedsync = &System{
	Name: "redsync", Store: "Redis", Dial: dialRedsync,
	Unfit: map[string]string{
		"observers": noObservers,
		"scale":     "it does not renew: the program must", "crowd": "it polls", "many": "it does not renew: the program must",
	},
}

// redsyncClient polls, as redsync does: every 50 to 250 ms. It is left to the program to extend a lock.
type redsyncClient struct {
	without
	client *redis.Client
	ttl    time.Duration
}

func dialRedsync(ctx context.Context, endpoint string, ttl time.Duration) (Client, error) {
	c := redis.NewClient(&redis.Options{Addr: endpoint})
	return redsyncClient{client: c, ttl: ttl}, c.Ping(ctx).Err()
}

func (c redsyncClient) Candidate(path, _ string) (Candidate, error) {
	m := redsync.New(goredis.NewPool(c.client)).NewMutex(path, redsync.WithExpiry(c.ttl), redsync.WithTries(1<<20))
	return redsyncCandidate{m}, nil
}

func (c redsyncClient) Close() error { return c.client.Close() }

type redsyncCandidate struct{ mutex *redsync.Mutex }

func (c redsyncCandidate) Campaign(ctx context.Context) error { return c.mutex.LockContext(ctx) }
func (c redsyncCandidate) Resign(ctx context.Context) error {
	_, err := c.mutex.UnlockContext(ctx)
	return err
}

type redisFloor struct {
	client *redis.Client
	sub    *redis.PubSub
	n      int
}

func redisFloorAt(ctx context.Context, endpoint string) (Floor, error) {
	f := &redisFloor{client: redis.NewClient(&redis.Options{Addr: endpoint})}
	f.sub = f.client.Subscribe(ctx, floorKey)
	_, err := f.sub.Receive(ctx)
	return f, err
}

// Put is one transaction that sets a key and tells the subscribers.
func (f *redisFloor) Put(ctx context.Context) error {
	f.n++
	_, err := f.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, floorKey, f.n, 0)
		p.Publish(ctx, floorKey, f.n)
		return nil
	})
	return err
}

func (f *redisFloor) Hear(ctx context.Context) error {
	for {
		m, err := f.sub.ReceiveMessage(ctx)
		if err != nil || m.Payload == strconv.Itoa(f.n) {
			return err
		}
	}
}

func (f *redisFloor) Close() error {
	f.sub.Close()
	return f.client.Close()
}
