package main

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

// finder watches all elections below a prefix: each by itself, as soon as somebody has been elected there.
type finder struct {
	client *clientv3.Client
	l      *locked.Locker
	conn   *connection
	prefix string

	out   chan locked.Event
	known map[string]bool
	tasks sync.WaitGroup
}

// watchPrefix gives the events of all elections below a prefix, in no order between two of them.
func watchPrefix(ctx context.Context, client *clientv3.Client, l *locked.Locker, conn *connection, prefix string) <-chan locked.Event {
	f := &finder{client: client, l: l, conn: conn, prefix: prefix, out: make(chan locked.Event), known: map[string]bool{}}
	go func() {
		defer close(f.out)
		f.search(ctx)
		f.tasks.Wait()
	}()
	return f.out
}

// search looks which elections there are, and then which begin, until ctx ends. A watch that ended is begun anew.
func (f *finder) search(ctx context.Context) {
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		feed := f.client.Watch(clientv3.WithRequireLeader(round), f.prefix, clientv3.WithPrefix(), clientv3.WithFilterDelete(),
			clientv3.WithCreatedNotify())
		if _, ok := <-feed; ok && f.list(ctx) {
			for resp := range feed {
				if resp.Err() != nil {
					break
				}
				for _, e := range resp.Events {
					if path, part, _ := election.ParseKey(string(e.Kv.Key)); part == election.PartTerm {
						f.found(ctx, path)
					}
				}
			}
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (f *finder) list(ctx context.Context) bool {
	list, err := standings(ctx, f.client, f.conn, f.prefix)
	if err != nil {
		if exitCode(err) == exitUnreachable { // why that is, is told in one place
			err = locked.ErrUnreachable
		}
		f.tell(ctx, locked.Event{Kind: locked.EventError, Path: f.prefix, Cause: err, At: time.Now()})
		return false
	}
	for _, s := range list {
		f.found(ctx, s.Path)
	}
	return true
}

func (f *finder) found(ctx context.Context, path string) {
	if f.known[path] {
		return
	}
	f.known[path] = true
	f.tasks.Go(func() {
		for e := range f.l.Watch(ctx, path) {
			f.tell(ctx, e)
		}
	})
}

func (f *finder) tell(ctx context.Context, e locked.Event) {
	select {
	case f.out <- e:
	case <-ctx.Done():
	}
}
