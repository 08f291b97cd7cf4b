package test

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

func TestSimAnswerLost(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		r := l.loseAnswer(isWrite)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		s.wantValue("k", "1")
		s.noError(s.put(c, "k", "2"))
		if r.hit() != 1 {
			s.t.Errorf("the rule acted %d times", r.hit())
		}
		s.wantCount(l, isWrite, 2)
	})
}

func TestSimLateCommit(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		w := l.withhold(isWrite, errFault)
		s.wantCode(s.put(c, "k", "late"), codes.Unavailable)
		s.noError(s.put(c, "k", "early"))
		time.Sleep(time.Minute)
		s.wantValue("k", "early")
		_, err := w.commit()
		s.noError(err)
		s.wantValue("k", "late")
	})
}

func TestSimLateCommitAfterDeadline(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		w := l.withhold(isWrite, nil)
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Txn(ctx).Then(clientv3.OpPut("k", "late")).Commit()
		s.wantCode(err, codes.DeadlineExceeded)
		s.wantValue("k", "")
		reply, err := w.commit()
		s.noError(err)
		if !reply.(*pb.TxnResponse).Succeeded {
			s.t.Error("the late transaction did not succeed")
		}
		s.wantValue("k", "late")
	})
}

// A server that has stopped commits nothing any more.
func TestSimLateCommitAfterRestart(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		w := l.withhold(isWrite, errFault)
		s.wantCode(s.put(c, "k", "late"), codes.Unavailable)
		s.restart(time.Second)
		if _, err := w.commit(); err == nil {
			s.t.Error("committed by a server that has stopped")
		}
		s.wantValue("k", "")
	})
}

// twice is the luck of a request that comes again.
func twice(later time.Duration, second bool) luck {
	return func() (time.Duration, bool) { return later, second }
}

func TestSimDuplicateAtOnce(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		ctx := s.t.Context()
		for key, second := range map[string]bool{"first": false, "second": true} {
			r := l.duplicate(isWrite, twice(0, second))
			absent := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
			put, again := clientv3.OpPut(key, "1"), clientv3.OpPut(key, "2")
			resp, err := c.Txn(ctx).If(absent).Then(put).Else(again).Commit()
			s.noError(err)
			if r.hit() != 1 || resp.Succeeded == second {
				s.t.Errorf("told the %s answer: %d hits, succeeded: %v", key, r.hit(), resp.Succeeded)
			}
			s.wantValue(key, "2")
		}
		l.duplicate(byMethod("LeaseGrant"), twice(0, false)) // with an id that etcd chooses
		granted, err := c.Grant(ctx, 10)
		s.noError(err)
		if all, err := s.admin().Leases(ctx); err != nil || len(all.Leases) != 2 {
			s.t.Errorf("leases: %v, %v, want two", all, err)
		}
		l.duplicate(byMethod("LeaseRevoke"), twice(0, true))
		_, err = c.Revoke(ctx, granted.ID)
		s.wantCode(err, codes.NotFound)
	})
}

func TestSimDuplicateLater(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		l.duplicate(isWrite, twice(time.Minute, false))
		s.noError(s.put(c, "k", "old"))
		s.noError(s.put(c, "k", "new"))
		s.restart(time.Second)
		s.wantValue("k", "new")
		time.Sleep(time.Minute)
		s.wantValue("k", "old")

		l.duplicate(isWrite, twice(time.Minute, true))
		start := s.now()
		s.noError(s.put(c, "k", "slow"))
		if took := s.now() - start; took < time.Minute {
			s.t.Errorf("the second answer came after %v", took)
		}

		l.duplicate(isWrite, twice(time.Second, false))
		s.noError(s.put(c, "k", "lost"))
		s.noError(s.put(c, "k", "new"))
		s.restart(2 * time.Second) // the second one finds no server
		s.wantValue("k", "new")
	})
}

func TestSimDuplicateRenewal(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		ctx := s.t.Context()
		granted, err := c.Grant(ctx, 6)
		s.noError(err)
		_, err = c.Put(ctx, "k", "held", clientv3.WithLease(granted.ID))
		s.noError(err)
		l.duplicate(isRenewal, twice(5*time.Second, false))
		_, err = c.KeepAliveOnce(ctx, granted.ID)
		s.noError(err)
		time.Sleep(10 * time.Second)
		s.wantValue("k", "held")
		time.Sleep(2 * time.Second)
		s.wantValue("k", "")
	})
}

func TestSimWaitersLeaseRevoked(t *testing.T) {
	inArena(t, 5*time.Second, 3, func(a *arena) {
		a.startAll()
		a.settled()
		for range 10 {
			before := a.view()
			a.revokeWaiting()
			a.settled()
			after := a.view()
			if was, is := before.Queue[1], after.Queue[1]; is.Create <= was.Create || after.Term.Create != before.Term.Create {
				a.t.Errorf("from %+v to %+v: want one lease less among those that wait, and the same term", before, after)
			}
		}
	})
}

func TestSimFailAndSlow(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		l.fail(byMethod("Txn"), rpctypes.ErrGRPCNoLeader).times(2)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		always := l.fail(isWrite, nil).always()
		for range 10 {
			s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		}
		s.wantValue("k", "")
		always.off()
		s.noError(s.put(c, "k", "1"))
		l.fail(byMethod("LeaseGrant"), nil)
		l.slow(byMethod("LeaseGrant"), 7*time.Second)
		start := s.now()
		_, err := c.Grant(s.t.Context(), 10)
		s.noError(err)
		s.wantCount(l, byMethod("LeaseGrant"), 2) // clientv3 has repeated the failed one
		if took := s.now() - start; took < 7*time.Second {
			s.t.Errorf("the grant took %v", took)
		}
	})
}

func TestSimStreamFaults(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		replies := s.keepAlive(c, "k", 6)
		<-replies
		go discard(replies)
		l.forget()
		l.loseAnswer(isRenewal)
		time.Sleep(4 * time.Second) // renewed at 2 s, lost, and again 0.5 s later
		if n := l.count(isRenewal); n < 2 {
			s.t.Errorf("%d renewals, want another after the lost one", n)
		}
		events := c.Watch(s.t.Context(), "w", clientv3.WithCreatedNotify())
		<-events
		w := l.withhold(isWatchEvent, nil)
		_, err := s.admin().Put(s.t.Context(), "w", "1")
		s.noError(err)
		w.wait()
		time.Sleep(time.Minute)
		select {
		case e := <-events:
			s.t.Error("a withheld event came:", e)
		default:
		}
		if n := l.breakStreams(byMethod("Watch"), nil); n != 1 {
			s.t.Errorf("%d watch streams broken", n)
		}
		if e := <-events; len(e.Events) != 1 { // clientv3 resumes by itself
			s.t.Errorf("the resumed watch says %v", e)
		}
		s.wantValue("k", "held")
	})
}
