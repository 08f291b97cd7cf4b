package demo

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

// readAlong notes every change of the key in the journal, as any etcd client would see it.
func (d *demo) readAlong(ctx context.Context) error {
	changes := d.client.Watch(ctx, path, clientv3.WithCreatedNotify())
	select {
	case <-changes: // it is open
	case <-time.After(limit):
		return errors.New("etcd does not answer")
	}
	go func() {
		for resp := range changes {
			for _, e := range resp.Events {
				r := record{who: etcdItself, Kind: put, Value: string(e.Kv.Value), Revision: e.Kv.ModRevision, At: time.Now()}
				if e.Type == clientv3.EventTypeDelete {
					r.Kind = deleted
				}
				d.journal.add(r)
			}
		}
	}()
	return nil
}

// launch starts a candidate's process.
func (d *demo) launch(a *candidate) error {
	at := time.Now()
	if err := a.start(); err != nil {
		return err
	}
	d.story.caused(at, a.name, "starts as process %d", a.pid())
	return nil
}

// launchInto starts it, and waits until etcd has it in the queue.
func (d *demo) launchInto(ctx context.Context, a *candidate) error {
	if err := d.launch(a); err != nil {
		return err
	}
	return d.awaitPlace(ctx, a)
}

// awaitPlace waits until etcd has the candidate in its queue, behind a leader, and tells its place.
func (d *demo) awaitPlace(ctx context.Context, a *candidate) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for changes := d.client.Watch(limited, path+":::", clientv3.WithPrefix(), clientv3.WithCreatedNotify()); ; {
		candidates, err := d.locker.Candidates(limited, path)
		if err != nil && limited.Err() == nil {
			return err
		}
		place := slices.IndexFunc(candidates, func(c locked.Candidate) bool { return c.ID == a.name })
		if place >= 0 && candidates[0].Token != 0 {
			what := "waits"
			if place == 0 {
				what = "leads"
			}
			d.story.line(time.Now(), a.name, "%s. Leader and queue: %s", what, names(candidates))
			return nil
		}
		select {
		case <-changes:
		case <-a.gone:
			return broken("%s has ended by itself", a.name)
		case <-limited.Done():
			if ctx.Err() == nil {
				return broken("%s is not in the queue within %v", a.name, limit)
			}
			return ctx.Err()
		}
	}
}

func names(candidates []locked.Candidate) string {
	list := make([]string, len(candidates))
	for i, c := range candidates {
		list[i] = c.ID
	}
	return strings.Join(list, ", ")
}
