package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/faultproxy"
)

var memberFaults = map[string]memberFault{
	kindMemberKill: killMember,
	kindLeaderKill: killMember,
	kindMemberStop: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.pauseMember(ctx, victim, s.times(p, 0.5, 2))
	},
	kindLeaderStop: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.pauseMember(ctx, victim, s.ttl+time.Duration((1.5+p.long)*float64(time.Second)))
	},
	kindMemberCut: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.cutMember(ctx, victim, s.times(p, 1.5, 3), true, true)
	},
	kindMemberMute: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.cutMember(ctx, victim, s.times(p, 1.5, 2.5), true, false)
	},
	kindMemberDeaf: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.cutMember(ctx, victim, s.times(p, 1.5, 2.5), false, true)
	},
	kindPairCut: func(ctx context.Context, s *injector, p plan, leader, victim int) string {
		return s.cutGates(ctx, []*faultproxy.Gate{s.cluster.Mesh.Gate(leader, victim), s.cluster.Mesh.Gate(victim, leader)}, s.times(p, 1.5, 2.5))
	},
	kindLeaderCut: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.cutMember(ctx, victim, s.times(p, 2, 3), true, true)
	},
	kindLeaderStopCut: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		return s.stopAndCut(ctx, victim, s.ttl+time.Duration((1.5+p.long)*float64(time.Second)))
	},
	kindLeaderBlinkCut: func(ctx context.Context, s *injector, p plan, _, victim int) string {
		s.gather(ctx, victim)
		return s.stopAndCut(ctx, victim, s.times(p, 0.6, 0.9))
	},
	kindMoveLeader: func(ctx context.Context, s *injector, p plan, leader, _ int) string {
		to := (leader + 1 + p.pick%(len(s.cluster.Members)-1)) % len(s.cluster.Members)
		_ = s.cluster.MoveLeader(ctx, leader, to) // whether it did shows in who leads
		return ""
	},
}

// clients counts the connections of candidates to a member.
func (s *injector) clients(member int) (n int) {
	for _, r := range s.processes.all {
		for _, l := range r.links {
			if l.Member == member {
				n += l.Connections()
			}
		}
	}
	return n
}

func killMember(ctx context.Context, s *injector, p plan, _, victim int) string {
	m := s.cluster.Members[victim]
	n := s.clients(victim)
	m.Kill()
	clock.Pause(ctx, s.times(p, 0.2, 1.5))
	begin := clock.Uptime()
	if err := m.Start(); err != nil {
		return ""
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*Wake(s.ttl))
	defer cancel()
	if m.Serves(limited) != nil {
		return ""
	}
	return fmt.Sprintf("%d connections of candidates ended, served again %s after its start", n, short(clock.Uptime()-begin))
}

// pauseMember stops a member, and counts who waits for it.
func (s *injector) pauseMember(ctx context.Context, victim int, d time.Duration) string {
	n := s.clients(victim)
	m := s.cluster.Members[victim].Process()
	m.Pause()
	clock.Pause(ctx, d)
	m.Resume()
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d connections of candidates had no answer for %s", n, short(d))
}

func (s *injector) cutMember(ctx context.Context, victim int, d time.Duration, out, in bool) string {
	return s.cutGates(ctx, s.cluster.Mesh.Around(victim, out, in), d)
}

// cutGates shuts gates between members for a time, and tells how far they came apart meanwhile.
func (s *injector) cutGates(ctx context.Context, gates []*faultproxy.Gate, d time.Duration) string {
	before := touched(gates)
	heal := faultproxy.Shut(gates...)
	clock.Pause(ctx, d)
	behind := s.behind(ctx)
	heal()
	evidence := held(touched(gates) - before)
	if behind > 0 {
		evidence = join(evidence, fmt.Sprintf("a member served %d entries behind the others", behind))
	}
	return evidence
}

func touched(gates []*faultproxy.Gate) (n int64) {
	for _, g := range gates {
		n += g.Touched()
	}
	return n
}

// behind is how many entries the member that has applied least is behind the one that has applied most.
func (s *injector) behind(ctx context.Context) uint64 {
	var applied []uint64
	for i := range s.cluster.Members {
		if st := s.cluster.Status(ctx, i); st != nil {
			applied = append(applied, st.RaftAppliedIndex)
		}
	}
	if len(applied) < 2 {
		return 0
	}
	return slices.Max(applied) - slices.Min(applied)
}

// gather makes a candidate that knows no other member lead half of the elections.
func (s *injector) gather(ctx context.Context, member int) {
	for _, r := range s.processes.all {
		if len(r.links) > 1 || r.links[0].Member != member {
			continue
		}
		for e := 0; e < s.processes.settings.Elections; e += 2 {
			if leader := s.processes.leader(e); leader != nil && leader != r {
				leader.tell("yield %d %s", e, r.now())
			}
		}
		clock.Pause(ctx, s.ttl/4)
	}
}

// stopAndCut stops the leader, and cuts it off from its peers until it must have found out, some time after it went on.
func (s *injector) stopAndCut(ctx context.Context, victim int, d time.Duration) string {
	m := s.cluster.Members[victim].Process()
	gates := s.cluster.Mesh.Around(victim, true, true)
	before := touched(gates)
	m.Pause()
	heal := faultproxy.Shut(gates...)
	clock.Pause(ctx, d)
	m.Resume()
	clock.Pause(ctx, 3*electionTimeout)
	heal()
	return held(touched(gates) - before)
}
