package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/samcday/locked"
)

// tellSystemd tells systemd that the run is ready once it is a candidate, whether it leads or waits; and then how it
// stands, and that it is alive.
func (r *Run) tellSystemd(ctx context.Context) {
	events := r.node.Events(ctx)
	r.awaitCandidacy(ctx)
	for !sdNotify(daemon.SdNotifyReady) && pause(ctx, time.Second) { // without that word systemd would end us after a while
	}
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
			sdNotify(daemon.SdNotifyWatchdog)
		case e, ok := <-events:
			if text := r.status(e); ok && text != "" {
				sdNotify("STATUS=" + text)
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
		sdNotify(daemon.SdNotifyStopping)
	}
}

// notifyPatience is how long a word to systemd may take: nothing waits for it longer if it does not read.
const notifyPatience = time.Second

// sdNotify says a word to systemd, and reports whether there was no need to say it again.
func sdNotify(state string) bool {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return true
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return true // nobody is there
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(notifyPatience))
	_, err = conn.Write([]byte(state))
	return !errors.Is(err, os.ErrDeadlineExceeded)
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
