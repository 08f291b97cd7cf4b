package chaos

import (
	"context"
	"sync"
)

// killAll ends a round: all candidates are killed at once, or all members of etcd, and started again.
func (s *injector) killAll(ctx context.Context, kind string) {
	var all sync.WaitGroup
	defer all.Wait()
	if kind == kindCrash {
		for _, r := range s.processes.all {
			all.Go(func() {
				f := Fault{Kind: kind, Target: r.name, Candidate: r.name}
				s.inject(&f, func() string { return candidateFaults[kindKill](ctx, s, plan{}, r) })
			})
		}
		return
	}
	for _, m := range s.cluster.Members {
		all.Go(func() {
			f := Fault{Kind: kind, Target: memberName(m.Index), Member: m.Index + 1}
			s.inject(&f, func() string { return killMember(ctx, s, plan{}, 0, m.Index) })
		})
	}
}

// inject makes a fault, and notes it.
func (s *injector) inject(f *Fault, act func() (evidence string)) {
	index := s.began(f)
	f.Evidence = act()
	f.Hit = f.Evidence != ""
	s.ended(index, f)
}
