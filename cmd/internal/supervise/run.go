package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/guard"
	"github.com/samcday/locked/cmd/internal/trouble"
)

// Run is a candidacy with a program that runs while it leads.
type Run struct {
	cfg      Config
	node     *locked.Node
	terminal *guard.Terminal
	signals  chan os.Signal
	reread   chan struct{} // the value
	cancel   context.CancelCauseFunc
	trouble  *trouble.Teller

	mu      sync.Mutex
	ready   *guard.Guard // for the next term
	live    *guard.Guard // of the program that runs
	open    bool         // whether it will be elected or gives up waiting
	waiting *time.Timer  // until it gives up; nil for never
	ending  os.Signal    // that has asked to end
	result  guard.Result // of the last program
	began   time.Time    // it did
}

// New makes a run. Nothing is sent to etcd, and the program is not started, before [Run.Do].
func New(cfg Config) (*Run, error) {
	r := &Run{cfg: cfg, terminal: guard.OpenTerminal(), signals: make(chan os.Signal, 16), reread: make(chan struct{}, 1)}
	r.trouble = trouble.New(r.aboutTrouble())
	if cfg.Check != "" {
		cfg.Node.Check = r.check
	}
	var err error
	if r.node, err = cfg.Locker.Node(cfg.Path, cfg.Node); err != nil {
		return nil, err
	}
	r.cfg.Node = r.node.Config()
	signal.Notify(r.signals, guard.Signals()...)
	r.ready, err = guard.New(cfg.Guard...)
	return r, err
}

// Node is the candidate.
func (r *Run) Node() *locked.Node { return r.node }

// Do competes and runs the program, once, or again and again with Restart. It gives how the program ended, which is
// meaningless with an error: [ErrNotInTime], [ErrLost], [Interrupted], an error of the library, or that of a context
// that had ended before. From then on signals end it, and not the context.
func (r *Run) Do(ctx context.Context) (guard.Result, error) {
	defer r.dismiss()
	defer signal.Stop(r.signals)
	if ctx.Err() != nil && len(r.signals) == 0 { // the signal came before we listened
		return guard.Result{}, ctx.Err()
	}
	ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.cancel(nil)
	defer r.tellStopping()
	go r.heed(ctx)
	go r.tell(ctx)
	if r.cfg.Value != nil {
		go r.followValue(ctx)
	}
	if r.cfg.Notify {
		go r.tellSystemd(ctx)
	}
	delay := time.Duration(0)
	for {
		err := r.compete(ctx)
		if !r.cfg.Restart || r.asked() != nil || final(ctx, err) {
			return r.result, err
		}
		if delay = r.delay(delay); !r.rest(ctx, delay, err) {
			return r.result, context.Cause(ctx)
		}
	}
}

// final reports whether an error would only come again.
func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrNoGuard) && !trouble.Passing(err)
}

// compete is one candidacy, up to the end of a program that nobody but itself has ended, if there is no reason to end before.
func (r *Run) compete(ctx context.Context) error {
	r.limitWait()
	defer r.decide()
	unreached, err := r.look(ctx)
	if err == nil {
		err = r.node.Lead(ctx, r.term)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
		if errors.Is(cause, ErrNotInTime) && unreached != nil {
			err = unreached
		}
	}
	return err
}

// look asks etcd before it competes, so that what cannot work is told at once. Who waits, or never gives up, asks again.
func (r *Run) look(ctx context.Context) (unreached, err error) {
	for {
		candidates, err := r.cfg.Locker.Candidates(ctx, r.cfg.Path)
		switch {
		case ctx.Err() != nil: // there was no answer up to now
			return cmp.Or(unreached, locked.ErrUnreachable), err
		case errors.Is(err, locked.ErrUnreachable) && (r.cfg.Wait > 0 || r.cfg.Restart):
			r.trouble.Report(err)
			unreached = err
			if !pause(ctx, time.Second) {
				return unreached, err
			}
			continue
		case err == nil && r.cfg.Try && len(candidates) > 0:
			err = fmt.Errorf("%w: %s leads or waits at %s", ErrNotInTime, candidates[0].ID, r.cfg.Path)
		case err == nil && r.cfg.Try:
			go r.giveWay(ctx)
		}
		return nil, err
	}
}

// giveWay gives up when it turns out that somebody else was faster.
func (r *Run) giveWay(ctx context.Context) {
	for e := range r.node.Events(ctx) {
		if e.Kind == locked.EventChange && e.ID != r.node.LocalID() {
			r.giveUp(fmt.Errorf("%w: %s leads %s", ErrNotInTime, e.ID, r.cfg.Path))
		}
	}
}

// limitWait begins the time of waiting, which ends with the next term or by giving up.
func (r *Run) limitWait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = true
	if limit := r.cfg.Wait; limit > 0 {
		r.waiting = time.AfterFunc(limit, func() {
			r.giveUp(fmt.Errorf("%w: within %v at %s", ErrNotInTime, limit, r.cfg.Path))
		})
	}
}

func (r *Run) giveUp(err error) {
	if r.decide() {
		r.cancel(err)
	}
}

// decide ends the time of waiting, and reports whether it was not over yet: so either the program is started or the run
// gives up, and not both.
func (r *Run) decide() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != nil {
		r.waiting.Stop()
	}
	open := r.open
	r.open = false
	return open
}

// delay is how long to rest before competing again: the longer, the more often the program has ended soon.
func (r *Run) delay(last time.Duration) time.Duration {
	if time.Since(r.began) > time.Minute {
		last = 0
	}
	return min(max(2*last, time.Second), 30*time.Second)
}

func (r *Run) rest(ctx context.Context, d time.Duration, err error) bool {
	what := []any{"path", r.cfg.Path, "in", d}
	if err == nil || errors.Is(err, ErrLost) {
		what = append(what, "program", r.result.String())
	}
	if err != nil {
		what = append(what, "error", err)
	}
	r.cfg.Log.Warn("competing again", what...)
	return pause(ctx, d)
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// heed hands signals on to the program, and ends the run where there is none.
func (r *Run) heed(ctx context.Context) {
	for {
		select {
		case s := <-r.signals:
			r.take(s.(syscall.Signal))
		case <-ctx.Done():
			return
		}
	}
}

func (r *Run) take(s syscall.Signal) {
	if s == syscall.SIGHUP && r.cfg.Value != nil {
		select {
		case r.reread <- struct{}{}:
		default:
		}
	}
	r.mu.Lock()
	live := r.live
	if s == syscall.SIGINT || s == syscall.SIGTERM {
		r.ending = s
	}
	r.mu.Unlock()
	if s == syscall.SIGTERM {
		go r.tellStopping() // the program is not to wait for that
	}
	switch {
	case live != nil:
		live.Signal(s)
	case guard.Pauses(int(s)):
		guard.Suspend()
	case s == syscall.SIGHUP && r.cfg.Value != nil || !guard.Ends(s):
	default:
		r.cancel(Interrupted{s})
	}
}

// asked is the signal that has asked to end, nil for none.
func (r *Run) asked() os.Signal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ending
}

func (r *Run) check(ctx context.Context) error {
	_, err := shell(ctx, r.cfg.Check, append(r.cfg.Env,
		Describe(r.cfg.Path, r.node.LocalID(), r.node.LocalValue(), r.node.Token(), r.cfg.Node.TTL)...))
	guard.Reap()
	return err
}
