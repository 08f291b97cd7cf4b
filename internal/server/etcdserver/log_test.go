package etcdserver

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
)

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func logged(t *testing.T, level slog.Level) string {
	t.Helper()
	var out syncBuffer
	cfg := quick()
	cfg.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
	s := run(t, cfg)
	put(t, client(t, s), "k", "v")
	// How etcd warns, on a logger with fields as its parts have them.
	s.etcd.GetLogger().With(zap.String("part", "mvcc")).Warn("slow", zap.Int("took", 7))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLogsWarnings(t *testing.T) {
	got := logged(t, slog.LevelInfo)
	if !strings.Contains(got, "level=WARN msg=slow part=mvcc took=7\n") {
		t.Errorf("no warning in:\n%s", got)
	}
	for _, not := range append(expected, "level=ERROR") {
		if strings.Contains(got, not) {
			t.Errorf("%q in:\n%s", not, got)
		}
	}
}

func TestLogsDebug(t *testing.T) {
	got := logged(t, slog.LevelDebug)
	for _, want := range []string{"level=DEBUG", "starting an etcd server", "name=locked"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestSilent(t *testing.T) {
	child, stderr := inChild(t)
	if child {
		put(t, client(t, run(t, quick())), "k", "v")
		return
	}
	if stderr != "" {
		t.Errorf("on standard error:\n%s", stderr)
	}
}
