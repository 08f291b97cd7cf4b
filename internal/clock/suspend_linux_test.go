//go:build go1.25

package clock

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
	boottime := func() time.Duration { return time.Duration(truth.Load() - short.Load()) }
	c := newSuspendClock(boottime, func() (wall, monotonic time.Duration) {
		return boottime() + 50*365*24*time.Hour, time.Duration(truth.Load() - suspended.Load())
	})
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

// Readings are not made at the same moment: the difference looks smaller than it is, now more, now less.
func TestSuspendClockForgivesSlowReading(t *testing.T) {
	var at time.Duration
	delays := []time.Duration{3, 1, 4, 1, 5, 0, 9, 2, 6, 0, 0, 0}
	i := 0
	boottime := func() time.Duration { return at }
	c := newSuspendClock(boottime, func() (wall, monotonic time.Duration) {
		i++
		return at, at + delays[i%len(delays)]*time.Millisecond - time.Hour // an hour's suspend lies before the beginning
	})
	for range 1000 {
		at += time.Second
		if got := c.now(); got < at || got > at+9*time.Millisecond {
			t.Fatalf("the clock shows %v at %v", got, at)
		}
	}
}

// Somebody sets the wall clock, forth and back: that is no suspend. One that comes with a suspend does not hide it.
func TestSuspendClockWhenTheClockIsSet(t *testing.T) {
	var truth, suspended, set time.Duration
	c := newSuspendClock(func() time.Duration { return truth }, func() (wall, monotonic time.Duration) {
		return truth + set, truth - suspended
	})
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Millisecond, -3 * time.Second} {
		set += step
		truth += time.Second
		if got := c.now(); got != truth {
			t.Errorf("set by %v: the clock shows %v at %v", step, got, truth)
		}
	}
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Millisecond, -3 * time.Second} {
		before := c.now() - truth
		set += step
		truth, suspended = truth+5*time.Second, suspended+5*time.Second
		if got := c.now() - truth; got != before+unseen {
			t.Errorf("set by %v in a suspend: the clock has gained %v, want %v", step, got-before, unseen)
		}
	}
}

// A suspend that comes while clocks are read, between any two of them, is noticed then or at the next reading.
func TestSuspendWhileClocksAreRead(t *testing.T) {
	for moment := range 40 {
		var truth, suspended, set time.Duration
		left := -1 // readings until the suspend
		maybe := func() {
			if left--; left == -1 {
				truth, suspended = truth+5*time.Second, suspended+5*time.Second
			}
		}
		c := newSuspendClock(func() time.Duration { maybe(); return truth }, func() (wall, monotonic time.Duration) {
			maybe()
			wall = truth + set
			maybe()
			return wall, truth - suspended
		})
		set += time.Minute // the next reading reads all
		left = moment
		for range 20 {
			truth += time.Millisecond
			began := truth
			if got := c.now(); got < began {
				t.Fatalf("a suspend after %d readings: the clock shows %v at %v", moment, got, began)
			}
		}
	}
}

func BenchmarkClock(b *testing.B) {
	b.Run("locked", func(b *testing.B) {
		for b.Loop() {
			System{}.Now()
		}
	})
	b.Run("CLOCK_BOOTTIME", func(b *testing.B) {
		for b.Loop() {
			Uptime()
		}
	})
}
