package main

import (
	"context"
	"io"
	"log/slog"
	"os/exec"
	"syscall"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/supervise"
	"github.com/samcday/locked/cmd/internal/trouble"
)

// reactor runs a shell command for each change of who is elected: one at a time, and of the changes that come while it
// runs the latest of each path.
type reactor struct {
	command        string
	env            []string
	stdout, stderr io.Writer
	log            *slog.Logger

	pending map[string]locked.Event
	order   []string // of the pending paths
}

// run reacts until the events end, and the command with them. It logs trouble.
func (r *reactor) run(ctx context.Context, from <-chan locked.Event, about trouble.Config) {
	events := make(chan locked.Event)
	about.Tell = func(e locked.Event) { events <- e }
	about.Over = func(after time.Duration) {
		r.log.Warn("etcd answers again", "path", about.Path, "after", after.Round(time.Second))
	}
	go func() {
		defer close(events)
		trouble.New(about).Run(ctx, from)
	}()
	r.react(ctx, events)
}

func (r *reactor) react(ctx context.Context, events <-chan locked.Event) {
	r.pending = map[string]locked.Event{}
	var running chan struct{}
	for events != nil || running != nil {
		if running == nil && len(r.order) > 0 && events != nil {
			running = r.start(ctx, r.next())
		}
		select {
		case e, ok := <-events:
			switch {
			case !ok:
				events = nil
			case e.Kind == locked.EventChange || e.Kind == locked.EventVacant:
				r.note(e)
			case e.Kind == locked.EventError:
				r.log.Warn("going on in spite of an error", "path", e.Path, "error", e.Cause)
			}
		case <-running:
			running = nil
		}
	}
}

func (r *reactor) note(e locked.Event) {
	if _, waits := r.pending[e.Path]; !waits {
		r.order = append(r.order, e.Path)
	}
	r.pending[e.Path] = e
}

func (r *reactor) next() locked.Event {
	e := r.pending[r.order[0]]
	delete(r.pending, e.Path)
	r.order = r.order[1:]
	return e
}

// start runs the command, and closes the channel when it has ended. It gets TERM when ctx ends, and KILL five seconds later.
func (r *reactor) start(ctx context.Context, e locked.Event) chan struct{} {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", r.command)
	cmd.Env = append(append(r.env[:len(r.env):len(r.env)], "LOCKED_KIND="+e.Kind.String()),
		supervise.Describe(e.Path, e.ID, e.Value, e.Token, 0)...)
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := cmd.Run(); err != nil && ctx.Err() == nil {
			r.log.Warn("the command has failed", "path", e.Path, "kind", e.Kind.String(), "id", e.ID, "error", err)
		}
	}()
	return done
}
