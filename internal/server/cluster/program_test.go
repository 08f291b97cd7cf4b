//go:build linux

package cluster

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/goleak"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/faultproxy"
)

// roleVar makes the test binary an etcd program.
const roleVar = "LOCKED_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		etcdmain.Main(os.Args)
		return
	}
	goleak.VerifyTestMain(m)
}

// programs is a cluster of the etcd that is asked for, or else of this program as one.
func programs(t *testing.T, ctx context.Context) *Cluster {
	t.Helper()
	p, err := etcdtest.Program()
	if err == nil && p == nil {
		t.Setenv(roleVar, "etcd")
		p, err = etcdproc.Look(ctx, os.Args[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := StartProgram(ctx, 3, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Members that are etcd programs reach each other through the mesh and no other way, and can be stopped, cut off, killed and
// started again, as others can.
func TestPrograms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := programs(t, ctx)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// another waits until the others have a leader, in a later term than before.
	another := func(old int, term uint64) {
		t.Helper()
		for {
			index, now, err := c.AwaitLeader(ctx)
			must(index, err)
			if index != old && now > term {
				return
			}
		}
	}
	put := func(value string) { // etcd may have no leader yet
		t.Helper()
		for _, err := c.Client(0).Put(ctx, "k", value); err != nil; _, err = c.Client(0).Put(ctx, "k", value) {
			must(nil, ctx.Err())
		}
	}
	put("v")

	leader, term, err := c.AwaitLeader(ctx)
	must(leader, err)
	c.Members[leader].Process().Pause()
	another(leader, term)
	c.Members[leader].Process().Resume()

	leader, term, err = c.AwaitLeader(ctx)
	must(leader, err)
	heal := faultproxy.Shut(c.Mesh.Around(leader, true, true)...)
	another(leader, term)
	heal()

	m := c.Members[1]
	was := m.Addr()
	m.Kill()
	if m.Addr() != "" {
		t.Error("a member that was killed serves at", m.Addr())
	}
	put("w")
	must(nil, m.Start())
	must(nil, m.Serves(ctx))
	if m.Addr() != was {
		t.Errorf("it serves at %s, and not at %s", m.Addr(), was)
	}
	for value := ""; value != "w"; clock.Pause(ctx, 10*time.Millisecond) {
		must(nil, ctx.Err())
		if r, err := c.Client(1).Get(ctx, "k", clientv3.WithSerializable()); err == nil && r.Count == 1 {
			value = string(r.Kvs[0].Value)
		}
	}
}

// A member that ends says why.
func TestProgramEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := programs(t, ctx)
	m := c.Members[0]
	m.Kill()
	if err := os.WriteFile(m.dir()+"/member/snap/db", []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.Serves(ctx); err == nil || !strings.Contains(err.Error(), "etcd member m1 has ended: its log "+m.log()+" ends:\n") {
		t.Error(err)
	}
}
