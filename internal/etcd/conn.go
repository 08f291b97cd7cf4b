// Package etcd is all that speaks to etcd, in the words of the protocol. It knows no node, no event and no loop.
package etcd

import (
	"fmt"
	"reflect"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// Conn is what an election needs of an etcd client. It goes below clientv3 where that costs too much, or does not tell enough.
type Conn struct {
	prefix  string // before every key
	client  *clientv3.Client
	leases  etcdserverpb.LeaseClient
	watches etcdserverpb.WatchClient
	rpc     etcdserverpb.KVClient
	kv      clientv3.KV      // with the prefix
	watcher clientv3.Watcher // with the prefix
	timeout time.Duration
	past    *history
}

// New gives a Conn that puts a prefix before every key, and gives each request so much time. It refuses a client that would
// put something before them itself, as those of clientv3/namespace do: nobody can tell what, and a node whose keys are not where
// the caller's own transactions look for them is worse than none.
func New(client *clientv3.Client, prefix string, timeout time.Duration) (*Conn, error) {
	if client == nil {
		return nil, &Refused{"client", "nil", "an etcd client is required"}
	}
	link := client.ActiveConnection()
	if link == nil {
		return nil, &Refused{"client", "without a connection", "must be one that clientv3.New has made; an etcd in the same process has endpoints for that too"}
	}
	for _, part := range []struct {
		name       string
		has, plain any
	}{
		{"KV", client.KV, clientv3.NewKV(client)},
		{"Watcher", client.Watcher, clientv3.NewWatcher(client)},
	} {
		if reflect.TypeOf(part.has) != reflect.TypeOf(part.plain) {
			return nil, &Refused{"client", fmt.Sprintf("with a %T for its %s", part.has, part.name), "must be as clientv3.New gives it; WithNamespace takes the place of clientv3/namespace"}
		}
	}
	c := &Conn{
		kv: client.KV, watcher: client.Watcher, prefix: prefix, client: client, timeout: timeout, past: &history{},
		leases: etcdserverpb.NewLeaseClient(link), watches: etcdserverpb.NewWatchClient(link), rpc: etcdserverpb.NewKVClient(link),
	}
	if prefix != "" {
		c.kv, c.watcher = namespace.NewKV(client.KV, prefix), namespace.NewWatcher(client.Watcher, prefix)
	}
	return c, nil
}

// A Refused is a setting that cannot work.
type Refused struct{ Field, Value, Want string }

func (e *Refused) Error() string { return fmt.Sprintf("%s %s: %s", e.Field, e.Value, e.Want) }
