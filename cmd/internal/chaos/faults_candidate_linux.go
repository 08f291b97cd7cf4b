package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/faultproxy"
)

var candidateFaults = map[string]candidateFault{
	kindKill: func(ctx context.Context, s *injector, p plan, r *process) string {
		r.proc.Kill()
		clock.Pause(ctx, s.times(p, 0.1, 1))
		if err := r.start(); err != nil {
			r.fail(err)
		}
		return "its process ended"
	},
	kindStop: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.pause(ctx, s.times(p, 1.2, 2))
	},
	kindBlink: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.pause(ctx, s.times(p, 0.2, 0.9))
	},
	kindFreeze: func(ctx context.Context, s *injector, p plan, r *process) string {
		d := s.times(p, 1.2, 2)
		if err := s.freezer.freeze(ctx, r.name, r.proc.PID(), d); err != nil {
			return ""
		}
		return "froze for " + short(d)
	},
	kindCut: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.gates(ctx, s.times(p, 1.2, 2), true, true)
	},
	kindMute: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.gates(ctx, s.times(p, 1.2, 2), true, false)
	},
	kindDeaf: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.gates(ctx, s.times(p, 1.2, 2), false, true)
	},
	kindDrip: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.slow(ctx, s.times(p, 2, 3), (*faultproxy.Gate).Drip, s.times(p, 0.1, 0.5))
	},
	kindLag: func(ctx context.Context, s *injector, p plan, r *process) string {
		return r.slow(ctx, s.times(p, 2, 3), (*faultproxy.Gate).Lag, s.times(p, 0.1, 0.3))
	},
	kindReset: reset,
	kindLate:  late,
	kindCompact: func(ctx context.Context, s *injector, p plan, r *process) string {
		defer r.shut(false, true)()
		clock.Pause(ctx, s.times(p, 0.2, 0.4))
		at := s.watched.revision()
		if _, err := s.client.Compact(ctx, at); err != nil {
			return ""
		}
		for _, l := range r.links {
			l.Reset()
		}
		return fmt.Sprintf("compacted at revision %d", at)
	},
	kindLeave: leave,
	kindYield: yield,
}

func short(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// pause stops the process, and looks whether it stood still.
func (r *process) pause(ctx context.Context, d time.Duration) string {
	r.proc.Pause()
	before := r.read(wordAlive)
	clock.Pause(ctx, d)
	still := r.read(wordAlive)-before < int64(d/10)
	r.proc.Resume()
	if !still {
		return ""
	}
	return "stood still for " + short(d)
}

// shut holds back what goes over a candidate's links, until heal.
func (r *process) shut(up, down bool) (heal func()) {
	var gates []*faultproxy.Gate
	for _, l := range r.links {
		if up {
			gates = append(gates, l.Up)
		}
		if down {
			gates = append(gates, l.Down)
		}
	}
	return faultproxy.Shut(gates...)
}

func (r *process) gates(ctx context.Context, d time.Duration, up, down bool) string {
	before := r.touched()
	heal := r.shut(up, down)
	clock.Pause(ctx, d)
	heal()
	return held(r.touched() - before)
}

func held(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d pieces held back", n)
}

// slow delays the answers to a candidate, in one way or another.
func (r *process) slow(ctx context.Context, d time.Duration, how func(*faultproxy.Gate, time.Duration), delay time.Duration) string {
	before := r.touched()
	for _, l := range r.links {
		how(l.Down, delay)
	}
	clock.Pause(ctx, d)
	for _, l := range r.links {
		how(l.Down, 0)
	}
	if n := r.touched() - before; n > 0 {
		return fmt.Sprintf("%d answers were %s late", n, short(delay))
	}
	return ""
}

func reset(_ context.Context, _ *injector, _ plan, r *process) string {
	n := 0
	for _, l := range r.links {
		n += l.Reset()
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d connections reset", n)
}

// late has what a leader asks for now, a fenced write in any case and half of the time a hand-over, done when somebody else
// leads.
func late(ctx context.Context, s *injector, p plan, r *process) string {
	var seals []func() int
	var delivers []func()
	for _, l := range r.links {
		seal, deliver := l.Capture()
		seals, delivers = append(seals, seal), append(delivers, deliver)
	}
	handOver := p.pick%2 == 0
	if handOver {
		clock.Pause(ctx, writing)
		r.tell("leave %d", p.election)
	}
	clock.Pause(ctx, 4*writing)
	captured := 0
	for _, seal := range seals {
		captured += seal()
	}
	begin := clock.Uptime()
	limited, cancel := context.WithTimeout(ctx, 2*Wake(s.ttl))
	next := s.another(limited, p.election, r)
	if handOver && next != nil { // whom it is for must not lead any more
		next.tell("yield %d", p.election)
		if third := s.another(limited, p.election, r, next); third != nil {
			next = third
		}
	}
	cancel()
	var all sync.WaitGroup
	for _, deliver := range delivers {
		all.Go(deliver)
	}
	all.Wait()
	if handOver {
		r.tell("join %d", p.election)
	}
	if captured == 0 || next == nil {
		return ""
	}
	return fmt.Sprintf("what was asked on %d connections was delivered %s late, when %s led", captured, short(clock.Uptime()-begin), next.name)
}

// another waits until somebody else leads.
func (s *injector) another(ctx context.Context, election int, than ...*process) *process {
	for ctx.Err() == nil {
		if r := s.processes.leader(election); r != nil && !slices.Contains(than, r) {
			return r
		}
		clock.Pause(ctx, 5*time.Millisecond)
	}
	return nil
}

func leave(ctx context.Context, s *injector, p plan, r *process) string {
	return depart(ctx, s, p, r, "leave", func() { r.tell("join %d", p.election) })
}

func yield(ctx context.Context, s *injector, p plan, r *process) string {
	return depart(ctx, s, p, r, "yield", func() {})
}

func depart(ctx context.Context, s *injector, p plan, r *process, verb string, back func()) string {
	if s.processes.leader(p.election) != r {
		return ""
	}
	begin := clock.Uptime()
	r.tell("%s %d", verb, p.election)
	limited, cancel := context.WithTimeout(ctx, s.ttl)
	defer cancel()
	next := s.another(limited, p.election, r)
	took := clock.Uptime() - begin
	_, leads := r.leads()[p.election]
	clock.Pause(ctx, s.times(p, 0.1, 0.3))
	back()
	switch {
	case next == nil && leads:
		return ""
	case next == nil:
		return "it left, and nobody led for a TTL"
	}
	return fmt.Sprintf("%s led %s later", next.name, short(took))
}
