package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/samcday/locked"
)

// tellSystemd tells systemd that the run is ready once it is a candidate, whether it leads or waits; and then how it
// stands, and that it is alive.
func (r *Run) tellSystemd(ctx context.Context) {
	events := r.node.Events(ctx)
	r.awaitCandidacy(ctx)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // who does not hear it does not need it
	alive, err := daemon.SdWatchdogEnabled(false)
	if err != nil || alive == 0 {
		alive = 2 * time.Hour
	}
	pulse := time.NewTicker(alive / 2)
	defer pulse.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pulse.C:
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		case e, ok := <-events:
			if text := r.status(e); ok && text != "" {
				_, _ = daemon.SdNotify(false, "STATUS="+text)
			}
			if !ok {
				events = nil
			}
		}
	}
}

// tellStopping tells systemd that the end has begun.
func (r *Run) tellStopping() {
	if r.cfg.Notify {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	}
}

// status says in words how the run stands after an event.
func (r *Run) status(e locked.Event) string {
	switch {
	case e.Kind == locked.EventSelect:
		return fmt.Sprintf("Leads %s with token %d", e.Path, e.Token)
	case e.Kind == locked.EventChange && e.ID != r.node.LocalID():
		return fmt.Sprintf("Waits at %s: %s leads", e.Path, e.ID)
	case e.Kind == locked.EventDeselect, e.Kind == locked.EventVacant:
		return "Nobody leads " + e.Path
	}
	return ""
}

// awaitCandidacy returns when etcd shows the node as a candidate.
func (r *Run) awaitCandidacy(ctx context.Context) {
	for ctx.Err() == nil {
		candidates, err := r.cfg.Locker.Candidates(ctx, r.cfg.Path)
		for _, c := range candidates {
			if err == nil && c.ID == r.node.LocalID() {
				return
			}
		}
		pause(ctx, 100*time.Millisecond)
	}
}
