package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/server/hitch"
)

func TestClusterRefusals(t *testing.T) {
	good := Cluster{Name: "a", Listen: "127.0.0.1:1", Members: "a=http://127.0.0.1:1"}
	for name, tt := range map[string]struct {
		change func(*Cluster)
		wants  []string
	}{
		"no name":     {func(c *Cluster) { c.Name = "" }, []string{"member name"}},
		"peer port":   {func(c *Cluster) { c.Listen = "127.0.0.1:0" }, []string{`peer address "127.0.0.1:0"`, "port"}},
		"peer host":   {func(c *Cluster) { c.Listen = ":1" }, []string{`peer address ":1"`, "no host"}},
		"peer URL":    {func(c *Cluster) { c.Advertise = "127.0.0.1:1" }, []string{"peer URL", `"127.0.0.1:1"`}},
		"client URL":  {func(c *Cluster) { c.AdvertiseClients = "x" }, []string{"client URL", `"x"`}},
		"members":     {func(c *Cluster) { c.Members = "a" }, []string{`members "a"`}},
		"no member":   {func(c *Cluster) { c.Name = "b" }, []string{`members "a=http://127.0.0.1:1"`, `"b"`}},
		"half of TLS": {func(c *Cluster) { c.CertFile = "c.pem" }, []string{"peer TLS", `"c.pem"`, "all three"}},
		"no such files": {
			func(c *Cluster) { c.CertFile, c.KeyFile, c.CAFile = "c.pem", "k.pem", "ca.pem" },
			[]string{"peer TLS", `"c.pem"`, "no such file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			cfg := quick()
			cfg.Cluster = &c
			refused(t, cfg, tt.wants...)
		})
	}
}

// three are the settings of the members of a cluster.
func three(t *testing.T, change func(*Cluster)) (cfgs [3]Config) {
	t.Helper()
	dir := t.TempDir()
	var members []string
	for i := range cfgs {
		c := &Cluster{Name: fmt.Sprint("m", i), Listen: hitch.Addr(t)}
		change(c)
		cfgs[i] = Config{
			DataDir: filepath.Join(dir, c.Name), Listen: hitch.Addr(t), ElectionTimeout: 500 * time.Millisecond, NoFsync: true, Cluster: c,
		}
		members = append(members, c.Name+"="+c.scheme()+"://"+c.Listen)
	}
	for i := range cfgs {
		cfgs[i].Cluster.Members = strings.Join(members, ",")
	}
	return cfgs
}

func runAll(t *testing.T, cfgs [3]Config) (servers [3]*Server, endpoints []string) {
	t.Helper()
	var starts sync.WaitGroup
	for i, cfg := range cfgs {
		starts.Go(func() {
			s, err := Start(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { s.Close() })
			servers[i] = s
		})
	}
	starts.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, s := range servers {
		endpoints = append(endpoints, s.Endpoint())
	}
	return servers, endpoints
}

// The loss of any member, the leader too, stops nobody; it comes back with what it had. Members speak TLS. In a child, as
// etcd leaves idle connections between members to the end of the process.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	if child, _ := inChild(t); !child {
		return
	}
	cert, key := selfSigned(t)
	cfgs := three(t, func(c *Cluster) { c.CertFile, c.KeyFile, c.CAFile = cert, key, cert })
	servers, endpoints := runAll(t, cfgs)
	c := connect(t, clientv3.Config{Endpoints: endpoints})
	for i := range servers {
		put(t, c, fmt.Sprint("k", i), "v")
		begin := time.Now()
		if err := servers[i].Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("closed in %v", time.Since(begin))
		rest := connect(t, clientv3.Config{Endpoints: append(append([]string{}, endpoints[:i]...), endpoints[i+1:]...)})
		put(t, rest, fmt.Sprint("without", i), "v")

		servers[i] = run(t, cfgs[i])
		alone := connect(t, clientv3.Config{Endpoints: endpoints[i : i+1]})
		if got := get(t, alone, fmt.Sprint("without", i)); got != "v" {
			t.Errorf("member %d did not catch up: %q", i, got)
		}
	}
	if r, err := c.MemberList(t.Context()); err != nil || len(r.Members) != 3 {
		t.Errorf("members %v: %v", r, err)
	}
}

// What a member has voted for must not be forgotten, whenever it was killed.
func TestMemberKeepsUnfinishedStart(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	if child, _ := inChild(t); !child {
		return
	}
	cfgs := three(t, func(*Cluster) {})
	servers, _ := runAll(t, cfgs)
	if err := servers[0].Close(); err != nil {
		t.Fatal(err)
	}
	mark := (&directory{path: cfgs[0].DataDir}).mark()
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, cfgs[0])
	if _, err := os.Stat(filepath.Join(cfgs[0].DataDir, "member.unfinished")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its data was set aside: %v", err)
	}
}

// One of three waits for another as long as its context lets it.
func TestMemberWaitsForMajority(t *testing.T) {
	cfg := three(t, func(*Cluster) {})[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	s, err := Start(ctx, cfg)
	if err != context.DeadlineExceeded {
		t.Errorf("started: %v, %v", s, err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
