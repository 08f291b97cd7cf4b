package locked

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// Leader asks etcd who is elected at the path: what it answers was true while the call was under way. It returns
// [ErrNoLeader] when nobody is.
func (l *Locker) Leader(ctx context.Context, path string) (Leader, error) {
	if err := CheckPath(path); err != nil {
		return Leader{}, err
	}
	prefix := election.TermPrefix(path)
	resp, err := l.get(ctx, path, prefix, clientv3.WithPrefix())
	if err != nil {
		return Leader{}, err
	}
	view := etcd.View(path, resp)
	if !view.Term.Exists() {
		return Leader{}, ErrNoLeader
	}
	return leaderOf(path, view.Term), nil
}

// Candidates asks etcd for the elected node of the path, if there is one, and those that wait, in the order in which it
// is their turn.
func (l *Locker) Candidates(ctx context.Context, path string) ([]Candidate, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	resp, err := l.get(ctx, path, election.Prefix(path), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	view := etcd.View(path, resp)
	var out []Candidate
	if t := view.Term; t.Exists() {
		leader := leaderOf(path, t)
		out = append(out, Candidate{ID: leader.ID, Value: leader.Value, Token: t.Create, Revision: t.Create})
	}
	for _, k := range view.Queue {
		waiting := leaderOf(path, k)
		out = append(out, Candidate{ID: waiting.ID, Value: waiting.Value, Revision: k.Create})
	}
	return out, nil
}

// Elections asks etcd who is elected at each path that begins with the prefix, in the order of the paths. An empty prefix
// asks for all. It reads every key below the prefix, a thousand at a time, all at one revision; if that is compacted meanwhile,
// or etcd goes back, it begins anew, a few times.
func (l *Locker) Elections(ctx context.Context, prefix string) (all []Leader, err error) {
	for range listings {
		all, err = l.elections(ctx, prefix)
		if !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, rpctypes.ErrFutureRev) {
			break
		}
	}
	return all, err
}

const listings = 5

func (l *Locker) elections(ctx context.Context, prefix string) ([]Leader, error) {
	var out []Leader
	const page = 1000
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		from, end = "\x00", "\x00"
	}
	for revision := int64(0); ; {
		resp, err := l.get(ctx, prefix, from, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		for _, kv := range resp.Kvs {
			if path, part, _ := election.ParseKey(string(kv.Key)); part == election.PartTerm {
				out = append(out, leaderOf(path, etcd.Change(kv, false).Key))
			}
		}
		if !resp.More {
			return out, nil
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// Watch tells what happens at the path, without competing for it: as [Node.Events], but without select, deselect and
// refresh. Of a path that cannot be an election's there is one Error event and the channel is closed; a closed Locker
// closes it at once.
func (l *Locker) Watch(ctx context.Context, path string) <-chan Event {
	if err := CheckPath(path); err != nil {
		out := make(chan Event, 1)
		out <- Event{Kind: EventError, Path: path, Cause: err}
		close(out)
		return out
	}
	return l.subscribe(ctx, path, nil)
}

// get reads, within the request timeout.
func (l *Locker) get(ctx context.Context, path, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if l.ctx.Err() != nil {
		return nil, ErrClosed
	}
	limited, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	stop := context.AfterFunc(l.ctx, cancel)
	defer stop()
	resp, err := l.etcd.Get(limited, key, options...)
	switch {
	case err == nil:
		return resp, nil
	case l.ctx.Err() != nil:
		return nil, ErrClosed
	case ctx.Err() != nil:
		return nil, failure(ctx.Err(), "reading %s", path)
	case limited.Err() != nil:
		return nil, failure(fmt.Errorf("%w: %w", l.unreached(), err), "reading %s", path)
	}
	return nil, fmt.Errorf("locked: %w", l.etcd.Explain(path, "read", err))
}

// nonce gives a name that nobody else has.
func (l *Locker) nonce() string { return strings.ToLower(rand.Text()[:16]) }
