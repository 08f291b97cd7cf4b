//go:build linux

package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/faultproxy"
)

// Law 2 under etcd-io/etcd#20418: before 3.5.28 and 3.6.9 a follower repeats its request for a read index under the same number,
// so a late acknowledgement of the first one confirms what a leader that was deposed meanwhile has queued since: among it, a
// linearizable read that is to verify a renewal.
//
//	LOCKED_TEST_ETCD=3.6.8 go test -run TestLaw2StaleReadIndex -rounds 20 -v -timeout 1h .

const (
	staleTTL      = 9 * time.Second
	staleElection = 800 * time.Millisecond
)

// What ships is not deceived.
func TestLaw2StaleReadIndex(t *testing.T) {
	t.Parallel()
	longest, overlaps := staleRounds(t, *rounds, func(*clientv3.Config) {}, func(int) bool { return false })
	if overlaps > 0 {
		t.Errorf("law 2: two led at once in %d rounds, for up to %v", overlaps, longest)
	}
}

// A proof that is a read is, in an etcd that has the fault. So the rounds above can show what they look for.
func TestStaleReadIndexDeceivesARead(t *testing.T) {
	if !etcdtest.Before(t, "3.5.28") && (etcdtest.Before(t, "3.6.0") || !etcdtest.Before(t, "3.6.9")) {
		t.Skip("this etcd does not have the fault")
	}
	t.Parallel()
	longest, overlaps := staleRounds(t, max(*rounds, 10), brokenProof(proofByRead).breaks, func(overlaps int) bool { return overlaps > 0 })
	if overlaps == 0 {
		t.Error("no read was deceived")
	}
	t.Logf("two led at once for %v", longest)
}

// staleRounds makes rounds that can show an overlap, and counts those that have shown one.
func staleRounds(t *testing.T, n int, config func(*clientv3.Config), enough func(overlaps int) bool) (longest time.Duration, overlaps int) {
	notShort(t)
	c := startClusterWith(t, clusterSize, staleElection)
	for i, tries := 0, 0; i < n && !enough(overlaps); tries++ {
		if tries == 5*n+10 {
			t.Fatal("hardly any round could show anything")
		}
		overlap, telling := staleRound(c, fmt.Sprint("/round", tries), config)
		if !telling {
			continue
		}
		i++
		t.Logf("round %d: two led at once for %v", i, overlap)
		if longest = max(longest, overlap); overlap > 0 {
			overlaps++
		}
	}
	return longest, overlaps
}

// staleRound deceives etcd's leader into confirming a read after it was deposed, just when a renewal is to be verified. It tells
// for how long two led at once. The round says nothing if the member that holds the late acknowledgement is the new leader.
func staleRound(c *etcdCluster, path string, config func(*clientv3.Config)) (overlap time.Duration, telling bool) {
	t := c.t
	victim, _ := c.leader()
	late, next := (victim+1)%clusterSize, (victim+2)%clusterSize
	waits, closeWaits := staleNode(c, next, path, "waits", func(*clientv3.Config) {})
	defer closeWaits()
	leads, closeLeads := staleNode(c, victim, path, "leads", config) // the last: its heartbeats count from here
	defer closeLeads()
	events := leads.Events(t.Context())
	start(t, leads, waits)
	for e := range events {
		if e.Kind == locked.EventRefresh {
			break
		}
	}
	began := time.Now()
	at := func(d time.Duration) { time.Sleep(time.Until(began.Add(d))) }

	m := c.Members[victim].Process()
	toLate, fromLate := c.Mesh.Gate(victim, late), c.Mesh.Gate(late, victim)
	openToLate := faultproxy.Shut(toLate)
	reading, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Client(late).Get(reading, "read")
	at(430 * time.Millisecond)
	openFromLate := faultproxy.Shut(fromLate)
	at(570 * time.Millisecond)
	openToLate()
	at(640 * time.Millisecond)
	heal := faultproxy.Shut(toLate, c.Mesh.Gate(victim, next), c.Mesh.Gate(next, victim))
	m.Pause()
	defer func() { // whatever comes
		heal()
		openFromLate()
		m.Resume()
		c.leader()
	}()
	if leader, _ := c.leader(); leader != next {
		return 0, false
	}
	at(election.Period(staleTTL) - 250*time.Millisecond)
	m.Resume()
	at(election.Period(staleTTL) + 100*time.Millisecond)
	openFromLate()
	openFromLate = func() {}
	for limit := time.Now().Add(2 * staleTTL); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		switch a, b := leads.IsSelected(), waits.IsSelected(); {
		case a && b:
			overlap += time.Millisecond
		case b:
			return overlap, true
		}
	}
	return overlap, false // nobody was elected: the machine held something up
}

// staleNode gives a node whose locker reaches one member alone. It has looked at another path for so long that its heartbeats and
// its renewals fall apart.
func staleNode(c *etcdCluster, member int, path, id string, config func(*clientv3.Config)) (*locked.Node, func()) {
	c.t.Helper()
	cfg := clientv3.Config{Endpoints: []string{c.Members[member].Addr()}}
	config(&cfg)
	l, err := locked.NewFromClient(dial(c.t, cfg), append(testOptions(), locked.WithTTL(staleTTL))...)
	if err != nil {
		c.t.Fatal(err)
	}
	l.Watch(c.t.Context(), path+"/other")
	time.Sleep(election.Period(staleTTL) - 400*time.Millisecond)
	n := node(c.t, l, path, locked.NodeConfig{ID: id, Value: "v", TTL: staleTTL, Grace: 20 * time.Millisecond})
	return n, func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			c.t.Error("close:", err)
		}
	}
}
