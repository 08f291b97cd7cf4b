package test

import (
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Two candidates with one id, in different processes, are told of each other: the one that was there when the other one enters, and
// that one when the first one enters again. A node that goes and comes again, or is moved to the tail, is not its own double.
func TestTwoCandidatesWithOneID(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	first := candidateFor(t, locker(t, e.Endpoint()), "/p", "twin", time.Minute)
	l := locker(t, e.Endpoint())
	second, other := candidateFor(t, l, "/p", "twin", time.Minute), candidateFor(t, l, "/p", "other", time.Minute)
	a, b, c := listen(t, first), listen(t, second), listen(t, other)
	double := func(ev locked.Event) bool {
		return strings.Contains(ev.Cause.Error(), "another candidate has the ID twin at /p")
	}

	start(t, first, other)
	if err := l.Transfer(t.Context(), "/p", "other"); err != nil {
		t.Fatal(err)
	}
	stop(t, first)
	start(t, first)
	if a.count(locked.EventError) > 0 {
		t.Error("it was told of itself")
	}
	start(t, second)
	a.await(locked.EventError, double)
	stop(t, first)
	start(t, first)
	b.await(locked.EventError, double)
	if c.count(locked.EventError) > 0 {
		t.Error("one with an id of its own was told too")
	}
}
