// Package demo tells, by an etcd and three candidates that are processes, how leadership passes from one to another.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/faultproxy"
)

const (
	path  = "/demo"
	ttl   = 3 * time.Second
	lease = "3 s"            // the same, for people
	limit = 20 * time.Second // for anything that is waited for
)

// demo is all that takes part: an etcd, a client that reads along, and the candidates.
type demo struct {
	story      *story
	journal    *journal
	server     *etcdserver.Server
	client     *clientv3.Client
	locker     *locked.Locker
	candidates []*candidate
	mark       int        // in the journal, where the act began
	absent     *candidate // was killed
	cut        *candidate // was cut off
	heal       func()     // ends that
}

// Run tells the story. If anything comes out otherwise than promised the error is a [BrokenError]. With keep everything is left
// running after the story, until ctx ends. The program that it runs must be the command locked.
func Run(ctx context.Context, w io.Writer, keep bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &demo{story: newStory(w, func(err error) { cancel(err) }), journal: newJournal()}
	err := d.play(ctx, keep)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // we were told to end
	}
	left := d.close()
	if err != nil && ctx.Err() != nil && !errors.Is(err, errUnread) {
		d.story.say("Interrupted: the candidates and etcd have been stopped, and the data removed.")
		err = context.Canceled
		if keep && d.story.told {
			err = nil
		}
	}
	return errors.Join(err, left)
}

// play tells the story.
func (d *demo) play(ctx context.Context, keep bool) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	d.story.opening(d.server.Endpoint())
	for _, act := range []func(context.Context) error{d.firstElection, d.oneValue, d.handover, d.crash, d.cutOff, d.rejoin, d.verdict} {
		d.mark = d.journal.len()
		err := act(ctx)
		var broken *BrokenError
		if errors.As(err, &broken) {
			d.story.evidence(d.journal.all(d.mark))
		}
		if err != nil {
			return err
		}
	}
	d.story.told = true
	if keep {
		return d.goOn(ctx)
	}
	return nil
}

// open starts etcd and whatever reads along.
func (d *demo) open(ctx context.Context) (err error) {
	if d.server, err = etcdserver.Start(ctx, etcdserver.Config{NoFsync: true}); err != nil {
		return err
	}
	endpoint := d.server.Endpoint()
	d.client, err = clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	if d.locker, err = locked.NewFromClient(d.client); err != nil {
		return err
	}
	for i, name := range []string{"ada", "bob", "cleo"} {
		p, err := faultproxy.New(d.server.Addr)
		if err != nil {
			return err
		}
		d.candidates = append(d.candidates, newCandidate(name, fmt.Sprintf("10.0.0.%d:8080", i+1), p, d.journal))
	}
	return d.readAlong(ctx)
}

// close stops and removes everything, however far it had come.
func (d *demo) close() error {
	for _, a := range d.candidates {
		a.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if d.locker != nil {
		_ = d.locker.Close(ctx) // it has no nodes
	}
	if d.client != nil {
		_ = d.client.Close() // nor has it anything that could be lost
	}
	if d.server != nil {
		return d.server.Close()
	}
	return nil
}

// goOn leaves everything to the user, and tells of every change.
func (d *demo) goOn(ctx context.Context) error {
	d.story.invite(d.server.Endpoint(), program(), d.candidates)
	for from := d.journal.len(); ; {
		r, next, err := d.journal.next(ctx, from, func(r record) bool { return r.who == etcdItself || r.Kind == failed })
		if err != nil || ctx.Err() != nil { // the candidates may have been interrupted with us
			return ctx.Err()
		}
		from = next
		switch r.Kind {
		case failed:
			d.story.line(r.At, r.who, "has ended: %s", r.Cause)
		case deleted:
			d.story.line(r.At, etcdItself, "%s is gone: nobody is elected", path)
		case put:
			d.story.line(r.At, etcdItself, "%s holds %s", path, r.Value)
		}
	}
}

// program is how the user calls us.
func program() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/locked"
	}
	return os.Args[0]
}

// BrokenError says what came out otherwise than promised.
type BrokenError struct{ what string }

func (e *BrokenError) Error() string { return "not as promised: " + e.what }

func broken(format string, args ...any) error { return &BrokenError{fmt.Sprintf(format, args...)} }
