package etcdserver

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/samcday/locked/internal/server/hitch"
)

// Nothing is ignored: a server that was closed leaves no goroutine behind.
func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// quick is what most tests run.
func quick() Config {
	return Config{ElectionTimeout: 50 * time.Millisecond, NoFsync: true}
}

// run starts a server that ends with the test.
func run(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func connect(t *testing.T, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	cfg.Logger = zap.NewNop()
	soon := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: time.Second}
	cfg.DialOptions = []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon})}
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func client(t *testing.T, s *Server) *clientv3.Client {
	t.Helper()
	return connect(t, clientv3.Config{Endpoints: []string{s.Endpoint()}})
}

func put(t *testing.T, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, value, opts...); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	r, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// closeSoon allows for a slow machine, but not for etcd's own patience of 5 s.
func closeSoon(t *testing.T, s *Server) {
	t.Helper()
	took := hitch.Ran(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if took > 3*time.Second {
		t.Errorf("close took %v", took)
	}
}

const childMark = "ETCDSERVER_TEST_CHILD"

// child is the running test alone, in a process of its own.
func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), childMark+"=1", "TMPDIR="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// inChild reports whether this is a child. If not it runs one, for what cannot
// be seen or undone from inside, and returns what that wrote to its standard
// error.
func inChild(t *testing.T) (is bool, stderr string) {
	t.Helper()
	if os.Getenv(childMark) != "" {
		return true, ""
	}
	cmd := child(t)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("child: %v\n%s%s", err, out.String(), errs.String())
	}
	return false, errs.String()
}
