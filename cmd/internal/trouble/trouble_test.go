package trouble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samcday/locked"
)

// stage is an etcd that may be away, and what people are told of it.
type stage struct {
	*Teller
	events chan locked.Event
	away   atomic.Bool
	mu     sync.Mutex
	told   []string
}

func newStage(t *testing.T) *stage {
	s := &stage{events: make(chan locked.Event)}
	s.Teller = New(Config{
		Path: "/x", Beat: 5 * time.Second,
		Probe: func(ctx context.Context) error {
			if !s.away.Load() {
				return locked.ErrNoLeader
			}
			<-ctx.Done()
			return fmt.Errorf("reading: %w", ctx.Err())
		},
		Diagnose: func() string { return "connection refused" },
		Stake:    func() string { return "a leads until noon" },
		Tell:     func(e locked.Event) { s.hear(e.Kind, " ", e.Cause) },
		Over:     func(d time.Duration) { s.hear("over ", d.Round(time.Second)) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		s.Run(ctx, s.events)
		close(done)
	}()
	t.Cleanup(func() {
		close(s.events)
		cancel()
		<-done
		time.Sleep(2 * patience) // an examination may be under way
	})
	return s
}

func (s *stage) hear(what ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprint(what...))
}

// heard gives what was told since the last time.
func (s *stage) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.told
	s.told = nil
	return told
}

func (s *stage) happens(kind locked.Kind, cause error) {
	s.events <- locked.Event{Kind: kind, Path: "/x", Cause: cause}
	synctest.Wait()
}

// shouts lets errors come for a while as a library tells them that repeats itself.
func (s *stage) shouts(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(400 * time.Millisecond) {
		s.happens(locked.EventError, fmt.Errorf("get a lease /x: %w", context.DeadlineExceeded))
		s.happens(locked.EventError, fmt.Errorf("watch /x: %w", locked.ErrUnreachable))
	}
}

func (s *stage) is(t *testing.T, want ...string) {
	t.Helper()
	if told := s.heard(); !slices.Equal(told, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// An outage is told of when it begins, once a minute, and when it is over, however many errors come of it.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.happens(locked.EventSelect, nil)
		s.away.Store(true)
		s.shouts(8 * time.Second)
		s.happens(locked.EventDeselect, locked.ErrExpired)
		s.shouts(72 * time.Second)
		s.away.Store(false)
		time.Sleep(3 * time.Second)
		s.happens(locked.EventSelect, nil)
		s.is(t, "select <nil>",
			"error etcd cannot be reached: connection refused; a leads until noon",
			"deselect locked: not renewed in time",
			"error etcd cannot be reached for 1m3s now: connection refused; a leads until noon",
			"over 1m21s",
			"select <nil>")
	})
}

// One error is enough to follow an outage to its end, or none.
func TestOutageToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.away.Store(true)
		s.happens(locked.EventDeselect, locked.ErrExpired)
		time.Sleep(130 * time.Second)
		s.away.Store(false)
		time.Sleep(3 * time.Second)
		if told := s.heard(); len(told) != 5 || !strings.HasPrefix(told[4], "over 2m1") {
			t.Errorf("told:\n%s", strings.Join(told, "\n"))
		}
	})
}

// Who hears nothing asks, and tells nothing if there is an answer.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		time.Sleep(time.Minute)
		s.is(t)
		s.away.Store(true)
		time.Sleep(7 * time.Second)
		s.is(t, "error etcd cannot be reached: connection refused; a leads until noon")
	})
}

// An etcd that comes and goes is not told of each time.
func TestOutagesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for range 12 {
			s.away.Store(true)
			s.shouts(5 * time.Second)
			s.away.Store(false)
			time.Sleep(5 * time.Second)
		}
		if told := s.heard(); len(told) > 5 {
			t.Errorf("in two minutes it told:\n%s", strings.Join(told, "\n"))
		}
	})
}

// What is no outage is told as it is, once a minute; also what was not done in time by an etcd that answers.
func TestOtherTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for range 120 {
			s.happens(locked.EventError, errors.New("the path is taken"))
			s.happens(locked.EventError, fmt.Errorf("get a lease /x: %w", context.DeadlineExceeded))
			s.happens(locked.EventRefresh, nil)
			time.Sleep(time.Second)
		}
		s.told = slices.DeleteFunc(s.told, func(line string) bool { return line == "refresh <nil>" })
		one, other := "error the path is taken", "error get a lease /x: context deadline exceeded"
		s.is(t, one, other, one, other)
	})
}
