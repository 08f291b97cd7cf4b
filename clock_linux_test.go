package locked

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Law 2: CLOCK_BOOTTIME may miss some of a suspend. The clock is fast after one, never slow. It was slow: a leader that was
// suspended for 2.98 s, which CLOCK_BOOTTIME took for 2.27 s, believed to lead.
func TestLaw2SuspendCountedShort(t *testing.T) {
	var truth, suspended atomic.Int64 // what has passed, and how much of it the machine was suspended
	var short atomic.Int64            // what CLOCK_BOOTTIME has missed
	monotonic := func() time.Duration { return time.Duration(truth.Load() - suspended.Load()) }
	boottime := func() time.Duration { return time.Duration(truth.Load() - short.Load()) }
	c := newSuspendClock(boottime, monotonic)
	sleep := func(d, missed time.Duration) {
		short.Add(int64(missed))
		suspended.Add(int64(d))
		truth.Add(int64(d))
	}
	check := func(what string, fast time.Duration) {
		t.Helper()
		if got := c.now() - time.Duration(truth.Load()); got != fast {
			t.Errorf("%s: the clock is %v fast, want %v", what, got, fast)
		}
	}
	check("at the beginning", 0)
	truth.Add(int64(time.Hour))
	check("awake", 0)
	sleep(2980*time.Millisecond, 710*time.Millisecond)
	check("after a suspend", 2290*time.Millisecond)
	truth.Add(int64(time.Minute))
	check("awake again", 2290*time.Millisecond)
	sleep(time.Hour, 0)
	check("after another one", 5290*time.Millisecond)

	var all sync.WaitGroup
	before := c.now()
	sleep(5*time.Second, 900*time.Millisecond)
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if c.now()-before < 5*time.Second {
					t.Error("a suspend was counted short by one of many readers")
					return
				}
			}
		})
	}
	all.Wait()
	check("after many have looked", 7390*time.Millisecond)
}

// The readings are not made at the same moment: the difference looks smaller than it is, now more, now less.
func TestSuspendClockForgivesSlowReading(t *testing.T) {
	var at time.Duration
	delays := []time.Duration{3, 1, 4, 1, 5, 0, 9, 2, 6}
	i := 0
	boottime := func() time.Duration { return at }
	monotonic := func() time.Duration {
		i++
		return at + delays[i%len(delays)]*time.Millisecond - time.Hour // an hour's suspend lies before the beginning
	}
	c := newSuspendClock(boottime, monotonic)
	for range 1000 {
		at += time.Second
		if got := c.now(); got != at {
			t.Fatalf("the clock shows %v at %v", got, at)
		}
	}
}
