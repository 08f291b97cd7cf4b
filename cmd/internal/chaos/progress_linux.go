package chaos

import (
	"context"
	"time"

	"github.com/samcday/locked/internal/clock"
)

const (
	telling  = 500 * time.Millisecond
	looking  = 10 * time.Second // how often what was written down is checked, while the run goes on
	hurrying = 2 * time.Second  // the same when a rule was broken
)

func (r *run) say(phase string) {
	r.phase.Store(&phase)
	r.report()
}

// tell reports how the run goes on.
func (r *run) tell(ctx context.Context) {
	every := looking
	if r.Break != "" {
		every = hurrying
	}
	last := clock.Uptime()
	for ctx.Err() == nil {
		clock.Pause(ctx, telling)
		if clock.Uptime()-last > every {
			r.look()
			last = clock.Uptime()
		}
		r.report()
	}
}

// look checks what can be checked already. What the watch has not shown yet does not count as missing.
func (r *run) look() {
	h, err := r.record()
	if err != nil {
		return // it is told at the end
	}
	h.End = clock.Uptime()
	found := h.checkEarly(r.protocol)
	r.mu.Lock()
	if len(found) > len(r.found) {
		r.found = found
	}
	r.mu.Unlock()
	if r.foundOut() {
		(*r.ends.Load())()
	}
}

// report calls the user's function.
func (r *run) report() {
	if r.Progress == nil {
		return
	}
	p := Progress{Phase: *r.phase.Load(), Duration: r.Duration, Changes: int(r.changes.Load())}
	for _, f := range r.list() {
		p.Faults++
		if f.Hit {
			p.Hit++
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.history != nil && r.history.Begin != 0 {
		p.Elapsed = clock.Uptime() - r.history.Begin
	}
	p.Violations = len(r.found)
	p.News = r.found[min(r.told, len(r.found)):]
	r.told = max(r.told, len(r.found))
	r.Progress(p)
}
