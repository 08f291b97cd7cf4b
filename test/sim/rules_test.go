package sim

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
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		r := l.LoseAnswer(IsWrite)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		s.wantValue("k", "1")
		s.NoError(s.put(c, "k", "2"))
		if r.Hits() != 1 {
			s.T.Errorf("the rule acted %d times", r.Hits())
		}
		s.wantCount(l, IsWrite, 2)
	})
}

func TestSimLateCommit(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		w := l.Withhold(IsWrite, ErrFault)
		s.wantCode(s.put(c, "k", "late"), codes.Unavailable)
		s.NoError(s.put(c, "k", "early"))
		time.Sleep(time.Minute)
		s.wantValue("k", "early")
		_, err := w.Commit()
		s.NoError(err)
		s.wantValue("k", "late")
	})
}

func TestSimLateCommitAfterDeadline(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		w := l.Withhold(IsWrite, nil)
		ctx, cancel := context.WithTimeout(s.T.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Txn(ctx).Then(clientv3.OpPut("k", "late")).Commit()
		s.wantCode(err, codes.DeadlineExceeded)
		s.wantValue("k", "")
		reply, err := w.Commit()
		s.NoError(err)
		if !reply.(*pb.TxnResponse).Succeeded {
			s.T.Error("the late transaction did not succeed")
		}
		s.wantValue("k", "late")
	})
}

// A server that has stopped commits nothing any more.
func TestSimLateCommitAfterRestart(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		w := l.Withhold(IsWrite, ErrFault)
		s.wantCode(s.put(c, "k", "late"), codes.Unavailable)
		s.Restart(time.Second)
		if _, err := w.Commit(); err == nil {
			s.T.Error("committed by a server that has stopped")
		}
		s.wantValue("k", "")
	})
}

// twice is the luck of a request that comes again.
func twice(later time.Duration, second bool) Luck {
	return func() (time.Duration, bool) { return later, second }
}

func TestSimDuplicateAtOnce(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		ctx := s.T.Context()
		for key, second := range map[string]bool{"first": false, "second": true} {
			r := l.Duplicate(IsWrite, twice(0, second))
			absent := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
			put, again := clientv3.OpPut(key, "1"), clientv3.OpPut(key, "2")
			resp, err := c.Txn(ctx).If(absent).Then(put).Else(again).Commit()
			s.NoError(err)
			if r.Hits() != 1 || resp.Succeeded == second {
				s.T.Errorf("told the %s answer: %d hits, succeeded: %v", key, r.Hits(), resp.Succeeded)
			}
			s.wantValue(key, "2")
		}
		l.Duplicate(ByMethod("LeaseGrant"), twice(0, false)) // with an id that etcd chooses
		granted, err := c.Grant(ctx, 10)
		s.NoError(err)
		if all, err := s.Admin().Leases(ctx); err != nil || len(all.Leases) != 2 {
			s.T.Errorf("leases: %v, %v, want two", all, err)
		}
		l.Duplicate(ByMethod("LeaseRevoke"), twice(0, true))
		_, err = c.Revoke(ctx, granted.ID)
		s.wantCode(err, codes.NotFound)
	})
}

func TestSimDuplicateLater(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		l.Duplicate(IsWrite, twice(time.Minute, false))
		s.NoError(s.put(c, "k", "old"))
		s.NoError(s.put(c, "k", "new"))
		s.Restart(time.Second)
		s.wantValue("k", "new")
		time.Sleep(time.Minute)
		s.wantValue("k", "old")

		l.Duplicate(IsWrite, twice(time.Minute, true))
		s.putSlowly(c, "k", "slow", time.Minute) // until the second answer

		l.Duplicate(IsWrite, twice(time.Second, false))
		s.NoError(s.put(c, "k", "lost"))
		s.NoError(s.put(c, "k", "new"))
		s.Restart(2 * time.Second) // the second one finds no server
		s.wantValue("k", "new")
	})
}

func TestSimDuplicateRenewal(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		ctx := s.T.Context()
		granted, err := c.Grant(ctx, 6)
		s.NoError(err)
		_, err = c.Put(ctx, "k", "held", clientv3.WithLease(granted.ID))
		s.NoError(err)
		l.Duplicate(IsRenewal, twice(5*time.Second, false))
		_, err = c.KeepAliveOnce(ctx, granted.ID)
		s.NoError(err)
		time.Sleep(10 * time.Second)
		s.wantValue("k", "held")
		time.Sleep(2 * time.Second)
		s.wantValue("k", "")
	})
}

func TestSimWaitersLeaseRevoked(t *testing.T) {
	InArena(t, 5*time.Second, 3, func(a *Arena) {
		a.StartAll()
		a.AwaitSettled()
		for range 10 {
			before := a.View()
			a.RevokeWaiting()
			a.AwaitSettled()
			after := a.View()
			if was, is := before.Queue[1], after.Queue[1]; is.Create <= was.Create || after.Term.Create != before.Term.Create {
				a.T.Errorf("from %+v to %+v: want one lease less among those that wait, and the same term", before, after)
			}
		}
	})
}

func TestSimFailAndSlow(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		l.Fail(ByMethod("Txn"), rpctypes.ErrGRPCNoLeader).Times(2)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		always := l.Fail(IsWrite, nil).Always()
		for range 10 {
			s.wantCode(s.put(c, "k", "1"), codes.Unavailable)
		}
		s.wantValue("k", "")
		always.Off()
		s.NoError(s.put(c, "k", "1"))
		l.Fail(ByMethod("LeaseGrant"), nil)
		l.Slow(ByMethod("LeaseGrant"), 7*time.Second)
		start := s.Now()
		_, err := c.Grant(s.T.Context(), 10)
		s.NoError(err)
		s.wantCount(l, ByMethod("LeaseGrant"), 2) // clientv3 has repeated the failed one
		if took := s.Now() - start; took < 7*time.Second {
			s.T.Errorf("the grant took %v", took)
		}
	})
}

func TestSimStreamFaults(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		replies := s.keepAlive(c, "k", 6)
		<-replies
		go discard(replies)
		l.Forget()
		l.LoseAnswer(IsRenewal)
		time.Sleep(4 * time.Second) // renewed at 2 s, lost, and again 0.5 s later
		if n := l.Count(IsRenewal); n < 2 {
			s.T.Errorf("%d renewals, want another after the lost one", n)
		}
		events := c.Watch(s.T.Context(), "w", clientv3.WithCreatedNotify())
		<-events
		w := l.Withhold(IsWatchEvent, nil)
		_, err := s.Admin().Put(s.T.Context(), "w", "1")
		s.NoError(err)
		w.Wait()
		time.Sleep(time.Minute)
		select {
		case e := <-events:
			s.T.Error("a withheld event came:", e)
		default:
		}
		if n := l.BreakStreams(ByMethod("Watch"), nil); n != 1 {
			s.T.Errorf("%d watch streams broken", n)
		}
		if e := <-events; len(e.Events) != 1 { // clientv3 resumes by itself
			s.T.Errorf("the resumed watch says %v", e)
		}
		s.wantValue("k", "held")
	})
}
