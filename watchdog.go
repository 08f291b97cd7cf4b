package locked

import (
	"sync"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// watchdog ends the contexts of terms whose belief has run out, whatever the loop does: it needs the clock alone. The loop tells
// of the end, releases the term and lets it go.
type watchdog struct {
	clock clock.Clock
	mu    sync.Mutex
	terms map[*Term]struct{}
	timer *time.Timer
}

func newWatchdog(c clock.Clock) *watchdog {
	w := &watchdog{clock: c, terms: map[*Term]struct{}{}}
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Stop()
	return w
}

// watch looks after a term until it is let go.
func (w *watchdog) watch(t *Term) {
	w.mu.Lock()
	w.terms[t] = struct{}{}
	w.mu.Unlock()
	w.look()
}

func (w *watchdog) letGo(t *Term) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.terms, t)
}

// look ends what has run out, and looks again when the next one may, or several times a second: see expiry.
func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	next := suspendCheck
	for t := range w.terms {
		switch {
		case t.belief.holds(now):
			next = min(next, t.belief.remaining(now))
		case t.belief.ranOut():
			delete(w.terms, t)
			t.cancel(ErrExpired)
		}
	}
	if len(w.terms) > 0 {
		w.timer.Reset(next)
	}
}

// stop ends the watch.
func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.terms)
	w.timer.Stop()
}
