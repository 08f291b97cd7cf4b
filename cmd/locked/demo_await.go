package main

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
	changes := d.client.Watch(ctx, demoPath, clientv3.WithCreatedNotify())
	select {
	case <-changes: // it is open
	case <-time.After(demoLimit):
		return errors.New("etcd does not answer")
	}
	go func() {
		for resp := range changes {
			for _, e := range resp.Events {
				r := record{who: etcd, Kind: put, Value: string(e.Kv.Value), Revision: e.Kv.ModRevision, At: time.Now()}
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
func (d *demo) launch(a *actor) error {
	at := time.Now()
	if err := a.start(); err != nil {
		return err
	}
	d.journal.add(record{who: a.name, Kind: started, At: at})
	d.story.caused(at, a.name, "starts as process %d", a.pid())
	return nil
}

// awaitQueued waits until etcd has the candidate in its queue, and tells its place.
func (d *demo) awaitQueued(ctx context.Context, a *actor) error {
	limited, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	for queue := d.client.Watch(limited, demoPath+":::", clientv3.WithPrefix(), clientv3.WithCreatedNotify()); ; {
		candidates, err := d.locker.Candidates(limited, demoPath)
		if err != nil && limited.Err() == nil {
			return err
		}
		place := slices.IndexFunc(candidates, func(c locked.Candidate) bool { return c.ID == a.name && c.Token == 0 })
		if place > 0 {
			d.story.line(time.Now(), a.name, "waits. Leader and queue: %s", names(candidates))
			return nil
		}
		select {
		case <-queue: // something has changed
		case <-a.gone:
			return broken("%s has ended by itself", a.name)
		case <-limited.Done():
			if ctx.Err() == nil {
				return broken("%s is not in the queue within %v", a.name, demoLimit)
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

// lastRenewal says when a leader last renewed its lease. If it has just been elected that is waited for.
func (d *demo) lastRenewal(ctx context.Context, who string) (time.Time, error) {
	if _, err := d.journal.await(ctx, 0, who, "refresh"); err != nil {
		return time.Time{}, err
	}
	return d.journal.last(who, "refresh").At, nil
}

func plainCause(r record) string { return strings.TrimPrefix(r.Cause, "locked: ") }

// neverEmpty checks what was seen of the key during a handover: one put, and no deletion.
func (d *demo) neverEmpty(ctx context.Context, mark int, began record) error {
	if _, err := d.journal.await(ctx, mark, etcd, put); err != nil {
		return err
	}
	for _, who := range []string{"bob", "cleo"} {
		if _, err := d.journal.await(ctx, mark, who, "change"); err != nil {
			return err
		}
	}
	puts := 0
	for _, r := range d.journal.all(mark) {
		switch {
		case r.Kind == deleted || r.Kind == "vacant":
			return broken("%s found nobody elected during the handover", r.who)
		case r.Kind == put && r.Revision == began.Revision:
			puts++
		}
	}
	if puts != 1 {
		return broken("the handover was not seen as one change at revision %d", began.Revision)
	}
	d.story.aside(etcd, "%s went from ada's value to bob's at revision %d, never empty", demoPath, began.Revision)
	return nil
}
