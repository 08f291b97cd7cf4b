package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/guard"
	"github.com/samcday/locked/internal/clock"
)

// term runs the program for one term, and returns when nothing of it is alive.
func (r *Run) term(ctx context.Context, t *locked.Term) error {
	if !r.decide() {
		<-ctx.Done() // the time to wait was over, in the same moment
		return nil
	}
	g, err := r.guard()
	if err != nil {
		return err
	}
	grace := r.cfg.Node.Grace
	r.cfg.Log.Info("elected: starting the program", "path", r.cfg.Path, "id", r.node.LocalID(), "token", t.Token())
	r.began = time.Now()
	reports := g.Run(r.program(t), guard.Times{Grace: grace}, func() time.Duration {
		now := clock.Uptime() // before the other, so that the sum is not too late
		if left := t.Remaining(); left > 0 {
			return now + left + grace
		}
		return 0
	})
	r.setLive(g)
	r.result = r.attend(ctx, g, reports)
	r.setLive(nil)
	return r.judge(ctx)
}

func (r *Run) program(t *locked.Term) guard.Program {
	env := Describe(r.cfg.Path, r.node.LocalID(), r.node.LocalValue(), t.Token(), r.cfg.Node.TTL)
	return guard.Program{Path: r.cfg.Program, Args: r.cfg.Args, Env: append(slices.Clone(r.cfg.Env), env...)}
}

// attend follows the program to its end, which comes with that of the term at the latest.
func (r *Run) attend(ctx context.Context, g *guard.Guard, reports <-chan guard.Report) guard.Result {
	over, group := ctx.Done(), 0
	for {
		select {
		case <-over:
			over = nil
			r.cfg.Log.Info("the term is over: ending the program", "path", r.cfg.Path, "cause", context.Cause(ctx))
			g.Stop()
		case report := <-reports:
			switch {
			case report.Started != 0:
				group = report.Started
				r.cfg.Log.Info("the program runs", "path", r.cfg.Path, "pid", group, "cgroup", report.Cgroup)
				r.lend(g, group)
			case report.Paused != 0:
				r.paused(g, group, report.Paused)
			case report.Stuck != nil:
				r.cfg.Log.Error("the program does not go although it was killed", "path", r.cfg.Path, "pids", report.Stuck)
			case report.Ended != nil:
				r.terminal.Take(group)
				r.cfg.Log.Info("the program has ended", "path", r.cfg.Path, "pid", group, "how", report.Ended.String(),
					"why", report.Ended.Why, "leftover", report.Ended.Leftover)
				return *report.Ended
			}
		}
	}
}

// lend gives the terminal to the program, if it is ours, and makes it go on if it was stopped for the want of it.
func (r *Run) lend(g *guard.Guard, group int) bool {
	if !r.terminal.Give(group) {
		return false
	}
	g.Continue()
	return true
}

// paused does what a shell's job does: when it was stopped from the terminal, so are we. Nobody renews the lease then, and
// if that takes too long the guard ends the program.
func (r *Run) paused(g *guard.Guard, group, s int) {
	switch {
	case !guard.Pauses(s):
		r.cfg.Log.Warn("the program was stopped; it leads on", "path", r.cfg.Path, "signal", s)
		return
	case guard.Wants(s) && r.lend(g, group):
		return
	case guard.Wants(s) && r.terminal.Has(group): // it has got it meanwhile
		g.Continue()
		return
	}
	guard.Suspend()
	if !r.lend(g, group) {
		g.Continue()
	}
}

// judge tells what the end of the program means. Unless it competes again, the run is over with it.
func (r *Run) judge(ctx context.Context) error {
	result := r.result
	if result.Leftover > 0 {
		r.cfg.Log.Warn("the program had left processes behind, which were ended", "path", r.cfg.Path, "count", result.Leftover)
	}
	if ctx.Err() == nil && result.Why == guard.Itself {
		return nil
	}
	cause := context.Cause(ctx)
	if cause == nil {
		cause = errors.New(reasons[result.Why])
	}
	err := fmt.Errorf("%w: %w", ErrLost, cause)
	if !r.cfg.Restart || r.asked() != nil {
		r.cancel(err)
		return err
	}
	r.cfg.Log.Warn("leadership was lost: competing again", "path", r.cfg.Path, "cause", cause)
	r.limitWait()
	return err
}

var reasons = map[guard.Why]string{
	guard.Asked:    "it was asked for",
	guard.Expired:  "not renewed in time",
	guard.Orphaned: "the guard of the program took this process for dead",
	guard.Unguard:  "the guard of the program is gone, or did not answer",
}

func (r *Run) setLive(g *guard.Guard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = g
	if g != nil {
		r.ready = nil
	}
}

// guard gives a guard process for a term: the one that waits for it, if that is well.
func (r *Run) guard() (*guard.Guard, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil || r.ready.Gone() {
		var err error
		if r.ready, err = guard.New(r.cfg.Guard...); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoGuard, err)
		}
	}
	return r.ready, nil
}

// dismiss ends the guard that waits.
func (r *Run) dismiss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready != nil {
		r.ready.Close()
		r.ready = nil
	}
}
