package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/elections"
	"github.com/samcday/locked/internal/election"
)

// finder watches all elections below a prefix: each by itself, as soon as somebody has been elected there.
type finder struct {
	l      *locked.Locker
	conn   *connection
	prefix string

	out   chan locked.Event
	known map[string]bool
	read  bool // what there is, since something last went wrong
	tasks sync.WaitGroup
}

// watchPrefix gives the events of all elections below a prefix, in no order between two of them.
func watchPrefix(ctx context.Context, client *clientv3.Client, l *locked.Locker, conn *connection, prefix string) <-chan locked.Event {
	f := &finder{l: l, conn: conn, prefix: prefix, out: make(chan locked.Event), known: map[string]bool{}}
	source := &elections.Source{Client: client, Prefix: prefix, Limit: conn.timeout}
	go func() {
		defer close(f.out)
		source.Follow(ctx, f)
		f.tasks.Wait()
	}()
	return f.out
}

// Reset finds which elections there are.
func (f *finder) Reset(ctx context.Context, _ int64, all elections.Changes) {
	f.read = true
	for _, path := range slices.Sorted(maps.Keys(all)) {
		f.found(ctx, path)
	}
}

// Apply finds those that begin.
func (f *finder) Apply(ctx context.Context, _ int64, changes elections.Changes) {
	for path, list := range changes {
		for _, c := range list {
			if _, part, _ := election.ParseKey(c.Name); part == election.PartTerm && !c.Deletion {
				f.found(ctx, path)
			}
		}
	}
}

// Reached is nothing to tell of.
func (f *finder) Reached(context.Context, time.Duration) {}

// Failed tells why it is not known what there is. That a watch ended is not told: what there is, is read then.
func (f *finder) Failed(ctx context.Context, err error) {
	if f.read {
		f.read = false
		return
	}
	cause := f.conn.unread(f.prefix, err)
	if exitCode(cause) == exitUnreachable { // why that is, is told in one place
		cause = locked.ErrUnreachable
	}
	f.tell(ctx, locked.Event{Kind: locked.EventError, Path: f.prefix, Cause: cause, At: time.Now()})
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
