package locked

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/samcday/locked/internal/etcdserver"
)

// server starts an etcd over TCP that ends with the test.
func server(t testing.TB, cfg etcdserver.Config) *etcdserver.Server {
	t.Helper()
	s, err := etcdserver.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func locker(t testing.TB, endpoint string, opts ...Option) *Locker {
	t.Helper()
	if os.Getenv("LOCKED_TEST_LOG") != "" {
		opts = append(opts, WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	}
	l, err := New(endpoint, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error("close:", err)
		}
	})
	return l
}

// The seed's first scenario: a single lock.
func TestSingleLock(t *testing.T) {
	s := server(t, etcdserver.Config{NoFsync: true})
	l := locker(t, s.Endpoint())
	n, err := l.Node("/master", NodeConfig{ID: "node1", Value: "10"})
	if err != nil {
		t.Fatal(err)
	}
	events := n.Events(t.Context())
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(n.IsSelected(), n.Leader(), n.Remaining())
	for e := range events {
		t.Log(e)
		if e.Kind == Ping {
			break
		}
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
