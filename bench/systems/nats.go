package systems

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var natsStore = &Store{Name: "NATS", Env: "BENCH_NATS", Floor: natsFloorAt}

// natsKV is the election that NATS users write on a key-value bucket with a TTL: create the key to lead, update it to go
// on, watch it to be told. nats.go has none of its own.
var natsKV = &System{Name: "NATS KV", Store: "NATS", Dial: dialNATS}

type natsClient struct {
	conn *nats.Conn
	kv   jetstream.KeyValue
	ttl  time.Duration
}

func dialNATS(ctx context.Context, endpoint string, ttl time.Duration) (Client, error) {
	conn, kv, err := bucket(ctx, endpoint, "locks-"+ttl.String(), ttl)
	return natsClient{conn, kv, ttl}, err
}

func bucket(ctx context.Context, endpoint, name string, ttl time.Duration) (*nats.Conn, jetstream.KeyValue, error) {
	conn, err := nats.Connect("nats://" + endpoint)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, nil, err
	}
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, TTL: ttl, Storage: jetstream.FileStorage})
	}
	return conn, kv, err
}

func natsKey(path string) string { return strings.Trim(path, "/") }

func (c natsClient) Candidate(path, id string) (Candidate, error) {
	return &natsCandidate{natsClient: c, key: natsKey(path), id: id}, nil
}

func (c natsClient) Observe(ctx context.Context, path string, told func(string)) error {
	w, err := c.kv.Watch(ctx, natsKey(path))
	if err != nil {
		return err
	}
	go func() {
		for e := range w.Updates() {
			if e != nil && e.Operation() == jetstream.KeyValuePut {
				told(string(e.Value()))
			}
		}
	}()
	return nil
}

func (c natsClient) Close() error {
	c.conn.Close()
	return nil
}

type natsCandidate struct {
	natsClient
	key, id string
	rev     uint64
	stop    context.CancelFunc
	renewed chan struct{}
}

func (c *natsCandidate) Campaign(ctx context.Context) (err error) {
	c.rev, err = c.kv.Create(ctx, c.key, []byte(c.id))
	if errors.Is(err, jetstream.ErrKeyExists) {
		err = c.wait(ctx)
	}
	if err == nil {
		c.renew()
	}
	return err
}

// wait creates the key when it is told that it is gone. The end of a TTL is not told by NATS 2.9: it looks twice a second.
func (c *natsCandidate) wait(ctx context.Context) error {
	w, err := c.kv.Watch(ctx, c.key, jetstream.UpdatesOnly())
	if err != nil {
		return err
	}
	defer w.Stop()
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case e := <-w.Updates():
			if e == nil || e.Operation() == jetstream.KeyValuePut {
				continue
			}
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.rev, err = c.kv.Create(ctx, c.key, []byte(c.id)); err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
}

func (c *natsCandidate) renew() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.renewed = stop, make(chan struct{})
	go func() {
		defer close(c.renewed)
		tick := time.NewTicker(c.ttl / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				rev, err := c.kv.Update(ctx, c.key, []byte(c.id), c.rev)
				if err != nil {
					return
				}
				c.rev = rev
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (c *natsCandidate) Resign(ctx context.Context) error {
	c.stop()
	<-c.renewed
	return c.kv.Delete(ctx, c.key, jetstream.LastRevision(c.rev))
}

type natsFloor struct {
	conn    *nats.Conn
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher
	n       int
}

func natsFloorAt(ctx context.Context, endpoint string) (Floor, error) {
	conn, kv, err := bucket(ctx, endpoint, floorKey, 0)
	if err != nil {
		return nil, err
	}
	w, err := kv.Watch(context.WithoutCancel(ctx), floorKey, jetstream.UpdatesOnly())
	return &natsFloor{conn: conn, kv: kv, watcher: w}, err
}

func (f *natsFloor) Put(ctx context.Context) error {
	f.n++
	_, err := f.kv.Put(ctx, floorKey, []byte(strconv.Itoa(f.n)))
	return err
}

func (f *natsFloor) Hear(ctx context.Context) error {
	for {
		select {
		case e := <-f.watcher.Updates():
			if e != nil && string(e.Value()) == strconv.Itoa(f.n) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *natsFloor) Close() error {
	f.watcher.Stop()
	f.conn.Close()
	return nil
}
