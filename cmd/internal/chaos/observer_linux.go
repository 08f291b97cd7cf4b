package chaos

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
)

// observer writes down the whole history of etcd below a prefix, and reads the registers, over connections to which no
// fault is made.
type observer struct {
	client    *clientv3.Client
	prefix    string
	elections int
	running   sync.WaitGroup
	stop      context.CancelFunc

	mu      sync.Mutex
	changes []Change
	reads   []Read
	seen    int64 // revision
	lost    error // what made the history incomplete
}

// observe begins at a revision.
func observe(client *clientv3.Client, prefix string, elections int, from int64, rng *rand.Rand) *observer {
	o := &observer{client: client, prefix: prefix, elections: elections, seen: from - 1}
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.running.Go(func() {
		for ctx.Err() == nil {
			o.watch(ctx)
			clock.Pause(ctx, 50*time.Millisecond)
		}
	})
	o.running.Go(func() {
		for ctx.Err() == nil {
			o.read(ctx, rng.IntN(elections))
			clock.Pause(ctx, 20*time.Millisecond)
		}
	})
	return o
}

func (o *observer) close() {
	o.stop()
	o.running.Wait()
}

// watch goes on from what was seen, until the watch ends.
func (o *observer) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := o.revision() + 1
	for resp := range o.client.Watch(clientv3.WithRequireLeader(ctx), o.prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if resp.CompactRevision != 0 {
			o.mu.Lock()
			o.lost = resp.Err()
			o.mu.Unlock()
		}
		if resp.Err() != nil {
			return
		}
		o.add(resp)
	}
}

func (o *observer) add(resp clientv3.WatchResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := clock.Uptime()
	for _, e := range resp.Events {
		if e.Kv.ModRevision <= o.seen {
			continue // told before
		}
		o.changes = append(o.changes, Change{
			Revision: e.Kv.ModRevision, Create: e.Kv.CreateRevision, Key: string(e.Kv.Key), Value: string(e.Kv.Value),
			Lease: e.Kv.Lease, Deleted: e.Type == clientv3.EventTypeDelete, Seen: at,
		})
	}
	if n := len(o.changes); n > 0 {
		o.seen = max(o.seen, o.changes[n-1].Revision)
	}
}

// revision is that up to which the history is complete.
func (o *observer) revision() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

func (o *observer) read(ctx context.Context, election int) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r := Read{Election: election, Call: clock.Uptime()}
	got, err := o.client.Get(ctx, registerKey(o.prefix, election))
	if err != nil {
		return
	}
	r.Return = clock.Uptime()
	if len(got.Kvs) > 0 {
		r.Revision = got.Kvs[0].ModRevision
		if json.Unmarshal(got.Kvs[0].Value, &r.Value) != nil {
			return
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads = append(o.reads, r)
}

// complete waits until all that is in etcd now has been seen.
func (o *observer) complete(ctx context.Context) error {
	var last int64
	for last == 0 {
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		put, err := o.client.Put(limited, o.prefix+"end", "")
		cancel()
		if err == nil {
			last = put.Header.Revision
		} else if clock.Pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return err
		}
	}
	for o.revision() < last {
		if clock.Pause(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (o *observer) collect() ([]Change, []Read, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Change(nil), o.changes...), append([]Read(nil), o.reads...), o.lost
}

const (
	probing    = 100 * time.Millisecond
	probeLimit = 400 * time.Millisecond
	standstill = time.Second // if there was no answer for longer, nobody has asked: the machine was too busy
)

// answered is what is known after an answer. Of a time in which the machine stood still nothing is known, and what was asked
// before it does not tell since when a member serves.
func (p Probe) answered(member int, asked, at time.Duration) Probe {
	switch {
	case p.Member != 0 && at-p.To <= standstill:
		p.To = at
		return p
	case at-asked <= standstill:
		return Probe{member, asked, at}
	}
	return Probe{member, at, at}
}

// probe asks a member again and again for what only a leader with a majority can answer, and tells since when it does,
// after each answer.
func probe(ctx context.Context, member int, client *clientv3.Client, tell func(Probe)) {
	var serves Probe
	for ctx.Err() == nil {
		begin := clock.Uptime()
		limited, cancel := context.WithTimeout(ctx, probeLimit)
		_, err := client.Get(limited, "/", clientv3.WithCountOnly())
		cancel()
		if err != nil {
			serves = Probe{}
		} else {
			serves = serves.answered(member, begin, clock.Uptime())
			tell(serves)
		}
		clock.Pause(ctx, probing)
	}
}
