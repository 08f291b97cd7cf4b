//go:build go1.25

package logqueue

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a handler that blocks until it is freed.
type stuck struct {
	slog.Handler
	free chan struct{}
}

func (s *stuck) Enabled(ctx context.Context, l slog.Level) bool {
	<-s.free
	return s.Handler.Enabled(ctx, l)
}

func (s *stuck) WithAttrs([]slog.Attr) slog.Handler { return s }

func TestOrderAndLevel(t *testing.T) {
	var out bytes.Buffer
	q, log := New(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log = log.With("a", 1).WithGroup("g")
	log.Debug("not this")
	for _, word := range []string{"one", "two", "three"} {
		log.Info(word, "b", 2)
	}
	q.Close(t.Context())
	got := out.String()
	if strings.Contains(got, "not this") || !strings.Contains(got, "a=1 g.b=2") ||
		strings.Index(got, "one") > strings.Index(got, "two") || !strings.Contains(got, "three") {
		t.Error(got)
	}
	log.Info("after the end") // nobody takes it, and nobody waits
}

// A handler that stands still holds nobody up. When it goes on it hears what was kept, and how much was not.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &stuck{Handler: slog.NewTextHandler(&out, nil), free: make(chan struct{})}
		q, log := New(slog.New(s))
		for range 2 * size {
			log.Info("word")
		}
		synctest.Wait()
		if got := q.Dropped(); got < size-1 || got > size {
			t.Errorf("%d were dropped", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.Close(ctx)
		if ctx.Err() == nil {
			t.Error("closed while a record is being handled")
		}
		close(s.free)
		q.Close(t.Context())
		if n := strings.Count(out.String(), "word"); n < size {
			t.Errorf("%d records of %d", n, size)
		}
	})
}

func TestDroppedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &stuck{Handler: slog.NewTextHandler(&out, nil), free: make(chan struct{})}
		q, log := New(slog.New(s))
		for range 2 * size {
			log.Info("word")
		}
		close(s.free)
		synctest.Wait()
		if !strings.Contains(out.String(), "dropped") {
			t.Error("nothing is said of what was dropped")
		}
		q.Close(t.Context())
	})
}
