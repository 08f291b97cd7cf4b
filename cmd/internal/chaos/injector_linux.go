package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/cluster"
)

// injector is where faults are made.
type injector struct {
	ttl       time.Duration
	cluster   *cluster.Cluster // nil if the members are not ours
	processes *processes
	client    *clientv3.Client // over links without faults
	watched   *observer
	freezer   *freezer // nil if there is none

	mu     sync.Mutex
	faults []Fault
}

// do makes a planned fault, and heals it when its time is over or ctx ends. It reports whether there was anybody to make
// it to.
func (s *injector) do(ctx context.Context, p plan) bool {
	f := Fault{Kind: p.kind, Election: p.election}
	var done bool
	if act, ok := candidateFaults[p.kind]; ok {
		done = s.toCandidate(ctx, p, &f, act)
	} else if act, ok := memberFaults[p.kind]; ok {
		done = s.toMember(ctx, p, &f, act)
	}
	return done
}

// began notes a fault as it begins, so that it counts even while it lasts; ended completes it.
func (s *injector) began(f *Fault) (index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Begin = clock.Uptime()
	s.faults = append(s.faults, *f)
	return len(s.faults) - 1
}

func (s *injector) ended(index int, f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.End = clock.Uptime()
	s.faults[index] = *f
}

func (s *injector) list() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault(nil), s.faults...)
}

// pick takes the candidate that leads the planned election, or else some other, to which no fault is being made. To leave
// it must lead, if not that election then another one.
func (s *injector) pick(p *plan) *process {
	for i := range s.processes.settings.Elections {
		e := (p.election + i) % s.processes.settings.Elections
		if r := s.processes.leader(e); r != nil && r.take() {
			p.election = e
			return r
		}
		if !leaves(p.kind) {
			break
		}
	}
	all := s.processes.all
	for i := range all {
		if leaves(p.kind) {
			break
		}
		if r := all[(p.pick+i)%len(all)]; r.take() {
			return r
		}
	}
	return nil
}

func (r *process) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return false
	}
	r.busy = true
	return true
}

func (r *process) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
}

// candidateFault makes a fault to a candidate, and heals it. It says what showed that it hit, if anything did besides lost
// terms.
type candidateFault func(ctx context.Context, s *injector, p plan, r *process) (evidence string)

func (s *injector) toCandidate(ctx context.Context, p plan, f *Fault, act candidateFault) bool {
	r := s.pick(&p)
	if r == nil {
		return false
	}
	defer r.release()
	f.Target, f.Candidate, f.Election = r.name, r.name, p.election
	f.Leaves = leaves(p.kind)
	led := r.leads()
	index := s.began(f)
	f.Evidence = act(ctx, s, p, r)
	f.Hit = f.Evidence != ""
	if n := len(led) - s.kept(r, led); n > 0 && !f.Leaves {
		f.Evidence = join(f.Evidence, fmt.Sprintf("%d of %d terms lost", n, len(led)))
		f.Hit = true
	}
	s.ended(index, f)
	return true
}

// kept counts the terms that a candidate goes on with.
func (s *injector) kept(r *process, led map[int]int64) (n int) {
	still := r.leads()
	for e, token := range led {
		if still[e] == token {
			n++
		}
	}
	return n
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// memberFault makes a fault to a member of etcd, and heals it. It says what showed that it hit, besides that etcd's leader
// changed.
type memberFault func(ctx context.Context, s *injector, p plan, leader, victim int) (evidence string)

func (s *injector) toMember(ctx context.Context, p plan, f *Fault, act memberFault) bool {
	leader, term := s.cluster.Leader(ctx)
	if leader < 0 {
		return false
	}
	victim := leader
	if !ofLeader(p.kind) {
		victim = (leader + 1 + p.pick%(len(s.cluster.Members)-1)) % len(s.cluster.Members)
	}
	f.Target, f.Member = memberName(victim), victim+1
	index := s.began(f)
	f.Evidence = act(ctx, s, p, leader, victim)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), Wake(s.ttl))
	defer cancel()
	after, next, err := s.cluster.AwaitLeader(limited)
	switch {
	case err != nil:
		f.Evidence = join(f.Evidence, "etcd has no leader")
	case next != term:
		f.Evidence = join(f.Evidence, fmt.Sprintf("etcd's leader is %s now, in term %d", memberName(after), next))
	}
	f.Hit = f.Evidence != ""
	s.ended(index, f)
	return true
}

func memberName(index int) string { return fmt.Sprintf("m%d", index+1) }

func leaves(kind string) bool { return kind == kindLeave || kind == kindYield }

func ofLeader(kind string) bool {
	switch kind {
	case kindLeaderKill, kindLeaderStop, kindLeaderCut, kindLeaderStopCut, kindLeaderBlinkCut, kindMoveLeader:
		return true
	}
	return false
}

// times gives a duration between two multiples of the TTL.
func (s *injector) times(p plan, from, to float64) time.Duration {
	return time.Duration((from + p.long*(to-from)) * float64(s.ttl))
}
