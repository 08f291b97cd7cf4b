//go:build linux

package test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/samcday/locked/internal/server/cluster"
	"github.com/samcday/locked/internal/server/etcdtest"
)

// A cluster of three members, each a process of its own, as in production: etcd's own timing, members that can be stopped
// and cut off from the others while clients still reach them.

const clusterSize = 3

type etcdCluster struct {
	t testing.TB
	*cluster.Cluster
}

// runMember is the role "member".
func runMember() error { return cluster.RunMember(os.Stdin, os.Stdout) }

// startCluster starts a cluster that ends with the test, and waits until it has a leader.
func startCluster(t testing.TB) *etcdCluster {
	t.Helper()
	return startClusterWith(t, clusterSize, 0)
}

// startClusterWith has so many members, and another election timeout than etcd's own, unless that is 0.
func startClusterWith(t testing.TB, size int, election time.Duration) *etcdCluster {
	t.Helper()
	program, err := etcdtest.Program() // which may have to be built
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var c *cluster.Cluster
	if program == nil {
		c, err = cluster.Start(ctx, size, role("member"), election)
	} else {
		c, err = cluster.StartProgram(ctx, size, program, election)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &etcdCluster{t, c}
}

// leader waits until a majority names the same leader in the latest raft term. It gives the index of that member, and the
// term.
func (c *etcdCluster) leader() (index int, raftTerm uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), soon)
	defer cancel()
	index, raftTerm, err := c.AwaitLeader(ctx)
	if err != nil {
		c.t.Fatal("etcd has no leader: ", err)
	}
	return index, raftTerm
}

// endpoints gives where members serve: all, or all but one.
func (c *etcdCluster) endpoints(but int) (list []string) {
	for i, m := range c.Members {
		if i != but {
			list = append(list, m.Addr())
		}
	}
	return list
}
