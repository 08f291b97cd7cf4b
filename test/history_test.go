package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// check is done when all lockers are closed. It passes over what was compacted.
func (e *etcdServer) check() {
	if e.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	e.checkEmpty(ctx)
	if !e.soiled {
		e.checkHistory(ctx)
	}
}

// checkEmpty: law 11, no key outlives its locker by more than a TTL, which is over when its lease is.
func (e *etcdServer) checkEmpty(ctx context.Context) {
	for {
		resp, err := e.client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			e.t.Error("keys left, or etcd does not answer:", err)
			return
		}
		var left []string
		for _, kv := range resp.Kvs {
			if kv.Lease != 0 || strings.Contains(string(kv.Key), election.Separator) {
				left = append(left, string(kv.Key))
			}
		}
		if len(left) == 0 {
			return
		}
		if until, _ := ctx.Deadline(); time.Until(until) < time.Second {
			e.t.Errorf("left in etcd: %q", left)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// history gives all that happened to the keys that begin with a prefix since a revision, a slice for each revision.
func (e *etcdServer) history(prefix string, from int64) [][]*clientv3.Event {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	end, err := e.client.Put(ctx, "end of history", "")
	if err != nil {
		e.t.Fatal(err)
	}
	var out [][]*clientv3.Event
	for resp := range e.client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := resp.Err(); err != nil {
			e.t.Fatal(err)
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision >= end.Header.Revision {
				return out
			}
			if !strings.HasPrefix(string(ev.Kv.Key), prefix) {
				continue
			}
			if n := len(out); n > 0 && out[n-1][0].Kv.ModRevision == ev.Kv.ModRevision {
				out[n-1] = append(out[n-1], ev)
			} else {
				out = append(out, []*clientv3.Event{ev})
			}
		}
	}
	e.t.Fatal("history is not complete")
	return nil
}

// checkHistory: law 1, at each revision at most one term; law 5, only the head of the queue follows a leader, unless a
// transfer names another one.
func (e *etcdServer) checkHistory(ctx context.Context) {
	now, err := e.client.Get(ctx, "x")
	if err != nil {
		e.t.Error(err)
		return
	}
	first, err := e.client.Get(ctx, "x", clientv3.WithRev(1))
	if err != nil || first.Header.Revision != now.Header.Revision {
		return // compacted
	}
	elections := map[string]*replay{}
	for _, events := range e.history("", 1) {
		touched := map[*replay][]*clientv3.Event{}
		for _, ev := range events {
			path, part, _ := election.ParseKey(string(ev.Kv.Key))
			if part == election.PartPath {
				continue
			}
			if elections[path] == nil {
				elections[path] = &replay{t: e.t, path: path, terms: map[string]bool{}}
			}
			touched[elections[path]] = append(touched[elections[path]], ev)
		}
		for r, events := range touched {
			r.apply(events)
		}
	}
}

// replay is one election as its history shows it.
type replay struct {
	t        testing.TB
	path     string
	terms    map[string]bool // nonces
	queue    []string        // nonces in order
	transfer bool
}

func (r *replay) apply(events []*clientv3.Event) {
	queue, transfer := slices.Clone(r.queue), r.transfer
	vacant := len(r.terms) == 0
	var began string
	for _, ev := range events {
		_, part, nonce := election.ParseKey(string(ev.Kv.Key))
		deleted := ev.Type == mvccpb.DELETE
		switch part {
		case election.PartTerm:
			if delete(r.terms, nonce); !deleted {
				r.terms[nonce] = true
			}
			if ev.IsCreate() {
				began = nonce
			}
		case election.PartQueue:
			i := slices.Index(r.queue, nonce)
			switch {
			case deleted && i >= 0:
				r.queue = slices.Delete(r.queue, i, i+1)
			case !deleted && i < 0:
				r.queue = append(r.queue, nonce)
			}
		case election.PartTransfer:
			r.transfer = !deleted
		}
	}
	revision := events[0].Kv.ModRevision
	if len(r.terms) > 1 {
		r.t.Errorf("%s has %d terms at revision %d", r.path, len(r.terms), revision)
	}
	if began == "" || len(queue) == 0 || transfer || began == queue[0] {
		return
	}
	if slices.Contains(queue, began) || vacant {
		r.t.Errorf("%s: %s was elected at revision %d before the queue %v", r.path, began, revision, queue)
	}
}
