package locked

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
