package systems

import (
	"context"
	"strconv"
	"time"

	"github.com/go-zookeeper/zk"
)

var zookeeperStore = &Store{Name: "ZooKeeper", Env: "BENCH_ZOOKEEPER", Floor: zookeeperFloorAt}

const noObservers = "the library has no observers"

var zookeeperLock = &System{
	Name: "go-zookeeper lock", Store: "ZooKeeper", Dial: dialZookeeper,
	Unfit: map[string]string{"observers": noObservers},
}

type zookeeperClient struct {
	without
	conn *zk.Conn
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func connectZookeeper(ctx context.Context, endpoint string, ttl time.Duration) (*zk.Conn, error) {
	conn, events, err := zk.Connect([]string{endpoint}, ttl, zk.WithLogger(silent{}))
	if err != nil {
		return nil, err
	}
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return conn, nil
			}
		case <-ctx.Done():
			conn.Close()
			return nil, ctx.Err()
		}
	}
}

func dialZookeeper(ctx context.Context, endpoint string, ttl time.Duration) (Client, error) {
	conn, err := connectZookeeper(ctx, endpoint, ttl)
	return zookeeperClient{conn: conn}, err
}

func (c zookeeperClient) Candidate(path, _ string) (Candidate, error) {
	return zookeeperCandidate{zk.NewLock(c.conn, path, zk.WorldACL(zk.PermAll))}, nil
}

func (c zookeeperClient) Close() error {
	c.conn.Close()
	return nil
}

type zookeeperCandidate struct{ lock *zk.Lock }

func (c zookeeperCandidate) Campaign(ctx context.Context) error { return Heed(ctx, c.lock.Lock) }
func (c zookeeperCandidate) Resign(ctx context.Context) error   { return Heed(ctx, c.lock.Unlock) }

type zookeeperFloor struct {
	conn *zk.Conn
	next <-chan zk.Event
	n    int
}

func zookeeperFloorAt(ctx context.Context, endpoint string) (Floor, error) {
	conn, err := connectZookeeper(ctx, endpoint, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Create("/"+floorKey, nil, 0, zk.WorldACL(zk.PermAll)); err != nil && err != zk.ErrNodeExists {
		return nil, err
	}
	f := &zookeeperFloor{conn: conn}
	_, _, f.next, err = conn.GetW("/" + floorKey)
	return f, err
}

func (f *zookeeperFloor) Put(context.Context) error {
	f.n++
	_, err := f.conn.Set("/"+floorKey, []byte(strconv.Itoa(f.n)), -1)
	return err
}

// Hear waits for a watch of ZooKeeper, which tells once, and sets the next.
func (f *zookeeperFloor) Hear(ctx context.Context) (err error) {
	select {
	case e := <-f.next:
		err = e.Err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err == nil {
		_, _, f.next, err = f.conn.GetW("/" + floorKey)
	}
	return err
}

func (f *zookeeperFloor) Close() error {
	f.conn.Close()
	return nil
}
