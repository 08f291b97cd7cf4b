package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/test/sim"
)

// A proof is an entry in etcd's log, and nothing else: no revision moves and no watch wakes, also when etcd is out of space.
func TestProofChangesNothing(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	c, err := etcd.New(e.client, "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	before, err := e.client.Status(t.Context(), e.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	watch := e.client.Watch(t.Context(), election.Prefix("/p"), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-watch
	const proofs = 50
	prove := func() {
		t.Helper()
		for range proofs {
			if term, err := c.Agree(t.Context(), []string{"/p"}); err != nil || term != before.RaftTerm {
				t.Fatal(term, err)
			}
		}
	}
	prove()
	alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: before.Header.MemberId, Alarm: pb.AlarmType_NOSPACE}
	maintenance := pb.NewMaintenanceClient(e.client.ActiveConnection())
	if _, err := maintenance.Alarm(t.Context(), alarm); err != nil {
		t.Fatal(err)
	}
	prove()
	alarm.Action = pb.AlarmRequest_DEACTIVATE
	if _, err := maintenance.Alarm(t.Context(), alarm); err != nil {
		t.Fatal(err)
	}
	after, err := e.client.Status(t.Context(), e.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	if after.RaftIndex < before.RaftIndex+2*proofs {
		t.Errorf("%d entries for %d proofs", after.RaftIndex-before.RaftIndex, 2*proofs)
	}
	if after.Header.Revision != before.Header.Revision {
		t.Errorf("revision %d, was %d", after.Header.Revision, before.Header.Revision)
	}
	select {
	case r := <-watch:
		t.Error("told:", r)
	default:
	}
}

// One entry proves the renewals of all leases of a locker with the same TTL: many leases cost no more entries than one.
func TestOneProofForAllLeases(t *testing.T) {
	const ttl, minutes = 10 * time.Second, 10
	proofs := func(leases int) (n int) {
		sim.Run(t, func(s *sim.Sim) {
			client, link := s.LockedClient("c", nil)
			l, err := locked.NewFromClient(client)
			s.NoError(err)
			ctx := context.Background()
			for i := range (leases-1)*256 + 1 {
				n, err := l.Node(fmt.Sprint("/p", i), locked.NodeConfig{ID: "n", Value: "v", TTL: ttl})
				s.NoError(err)
				s.NoError(n.Start(ctx))
			}
			link.Forget()
			time.Sleep(minutes * time.Minute)
			n = link.Count(sim.IsProof)
			if renewals := link.Count(sim.IsRenewal); renewals < leases*n*9/10 {
				s.T.Errorf("%d renewals for %d proofs, with %d leases", renewals, n, leases)
			}
			s.NoError(l.Close(ctx))
		})
		return n
	}
	one, many := proofs(1), proofs(2)
	t.Logf("in 10 minutes at a TTL of 10 s: %d for one lease, %d for two", one, many)
	if want := int(10 * time.Minute / election.Period(ttl)); one > want+1 || many > want*11/10 {
		t.Errorf("%d and %d proofs, want %d", one, many, want)
	}
}
