package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/trouble"
)

// tell tells of trouble with the election, and for whom the run waits.
func (r *Run) tell(ctx context.Context) { r.trouble.Run(ctx, r.node.Events(ctx)) }

func (r *Run) aboutTrouble() trouble.Config {
	waits, led := false, false // it was told so
	return trouble.Config{
		Path:     r.cfg.Path,
		Diagnose: r.cfg.Diagnose,
		Stake:    r.stake,
		Beat:     r.cfg.Node.TTL / 2,
		Probe: func(ctx context.Context) error {
			_, err := r.cfg.Locker.Leader(ctx, r.cfg.Path)
			return err
		},
		Tell: func(e locked.Event) {
			switch e.Kind {
			case locked.EventError:
				r.logTrouble(e.Cause)
			case locked.EventSelect:
				waits, led = false, true
			case locked.EventChange:
				if e.ID != r.node.LocalID() && !waits && !r.cfg.Try && (!led || r.cfg.Restart) {
					waits = true
					r.cfg.Log.Log(context.Background(), Notice, "waiting: somebody else leads", "path", r.cfg.Path, "leader", e.ID)
				}
			}
		},
		Over: func(after time.Duration) {
			r.cfg.Log.Log(context.Background(), Notice, "etcd answers again", "path", r.cfg.Path, "after", after.Round(time.Second))
		},
	}
}

func (r *Run) logTrouble(err error) {
	var o *trouble.Outage
	if !errors.As(err, &o) {
		r.cfg.Log.Warn("trouble with the election", "path", r.cfg.Path, "error", err)
		return
	}
	what := []any{"path", r.cfg.Path, "cause", o.Cause, "stake", o.Stake}
	if o.For > 0 {
		what = append(what, "for", o.For.Round(time.Second))
	}
	r.cfg.Log.Warn("etcd cannot be reached", what...)
}

// stake says what an etcd that is away puts at stake, now.
func (r *Run) stake() string {
	r.mu.Lock()
	live := r.live != nil
	r.mu.Unlock()
	switch left := r.node.Remaining(); {
	case live && left > 0:
		end := time.Now().Add(left)
		return fmt.Sprintf("the program is told to end at %s, and is dead by %s", end.Format("15:04:05"), end.Add(r.cfg.Node.Grace).Format("15:04:05"))
	case live:
		return "the program is being ended"
	}
	return "the program does not run, and may when it answers"
}
