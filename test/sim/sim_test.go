package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The other tests stand on the simulation: here each of its faults is shown to
// do what it says.

// timedSim is simulate, with the real time it took in the log.
func timedSim(t *testing.T, f func(s *Sim)) {
	t.Helper()
	start := time.Now()
	Run(t, f)
	t.Logf("took %v of real time", time.Since(start).Round(time.Millisecond))
}

// wantValue checks what the server has under key; "" is for nothing.
func (s *Sim) wantValue(key, want string) {
	s.T.Helper()
	r, err := s.Admin().Get(s.T.Context(), key)
	s.NoError(err)
	got := ""
	for _, kv := range r.Kvs {
		got = string(kv.Value)
	}
	if got != want {
		s.T.Errorf("at %v: %s = %q, want %q", s.Now(), key, got, want)
	}
}

func (s *Sim) wantCode(err error, want codes.Code) {
	s.T.Helper()
	var e rpctypes.EtcdError
	got := status.Code(err)
	switch {
	case errors.As(err, &e):
		got = e.Code()
	case errors.Is(err, context.DeadlineExceeded):
		got = codes.DeadlineExceeded
	}
	if got != want {
		s.T.Errorf("at %v: error %v (%v), want %v", s.Now(), err, got, want)
	}
}

func (s *Sim) wantCount(l *Link, m Matcher, want int) {
	s.T.Helper()
	if n := l.Count(m); n != want {
		s.T.Errorf("%d requests, want %d", n, want)
	}
}

// put sets key by a transaction. It waits five minutes at most: without a
// deadline clientv3 waits for a server for ever.
func (s *Sim) put(c *clientv3.Client, key, value string) error {
	ctx, cancel := context.WithTimeout(s.T.Context(), 5*time.Minute)
	defer cancel()
	_, err := c.Txn(ctx).Then(clientv3.OpPut(key, value)).Commit()
	return err
}

// putSlowly does so too, and wants it to take at least that long.
func (s *Sim) putSlowly(c *clientv3.Client, key, value string, least time.Duration) {
	s.T.Helper()
	start := s.Now()
	s.NoError(s.put(c, key, value))
	if took := s.Now() - start; took < least {
		s.T.Errorf("a put took %v, want %v or more", took, least)
	}
}

// keepAlive puts key on a new lease and lets clientv3 renew that until it cannot.
func (s *Sim) keepAlive(c *clientv3.Client, key string, ttl int64) <-chan *clientv3.LeaseKeepAliveResponse {
	s.T.Helper()
	g, err := c.Grant(s.T.Context(), ttl)
	s.NoError(err)
	_, err = c.Put(s.T.Context(), key, "held", clientv3.WithLease(g.ID))
	s.NoError(err)
	replies, err := c.KeepAlive(s.T.Context(), g.ID)
	s.NoError(err)
	return replies
}

func discard[T any](c <-chan T) {
	for range c {
	}
}

func TestSimLeaseLivesForAnHour(t *testing.T) {
	timedSim(t, func(s *Sim) {
		s.Limit(2 * time.Hour)
		c, l := s.Client("a")
		go discard(s.keepAlive(c, "k", 6))
		time.Sleep(time.Hour)
		s.wantValue("k", "held")
		if n := l.Count(IsRenewal); n < 1300 || n > 1900 {
			s.T.Errorf("%d renewals in an hour, want one each 2 to 2.5 s", n)
		}
	})
}

func TestSimLeaseExpiresBehindCut(t *testing.T) {
	for name, cut := range map[string]func(*Link){"both": (*Link).Cut, "up": (*Link).CutUp, "severed": (*Link).Sever} {
		t.Run(name, func(t *testing.T) {
			timedSim(t, func(s *Sim) {
				c, l := s.Client("a")
				go discard(s.keepAlive(c, "k", 6))
				time.Sleep(time.Minute)
				cut(l)
				time.Sleep(3 * time.Second)
				s.wantValue("k", "held")
				time.Sleep(5 * time.Second)
				s.wantValue("k", "")
			})
		})
	}
}

func TestSimLeaseLivesThroughShortCut(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		go discard(s.keepAlive(c, "k", 6))
		for range 10 {
			time.Sleep(10 * time.Second)
			l.Cut()
			time.Sleep(3 * time.Second)
			l.Heal()
		}
		s.wantValue("k", "held")
	})
}

// A cut of the way down applies the request and holds the answer.
func TestSimCutDownHoldsAnswer(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		s.NoError(s.put(c, "k", "1"))
		l.CutDown()
		done := make(chan error, 1)
		go func() { done <- s.put(c, "k", "2") }()
		time.Sleep(time.Minute)
		s.wantValue("k", "2")
		select {
		case err := <-done:
			s.T.Fatal("an answer came through the cut:", err)
		default:
		}
		l.Heal()
		s.NoError(<-done)
	})
}

// What was held up behind a cut comes in order, one by one.
func TestSimDripDrainsQueue(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		s.NoError(s.put(c, "k", "0"))
		events := c.Watch(s.T.Context(), "k")
		time.Sleep(time.Second)
		l.CutDown()
		for i := range 4 {
			_, err := s.Admin().Put(s.T.Context(), "k", fmt.Sprint(i))
			s.NoError(err)
			time.Sleep(time.Second)
		}
		l.DripDown(10 * time.Second)
		l.Heal()
		healed := s.Now()
		for i := range 4 {
			e := <-events
			at := s.Now() - healed
			if v := string(e.Events[0].Kv.Value); v != fmt.Sprint(i) || at < time.Duration(i)*10*time.Second || at > time.Duration(i+1)*10*time.Second {
				s.T.Errorf("event %d: value %s, %v after the cut", i, v, at)
			}
		}
	})
}

func TestSimDripUpDelaysRequest(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		s.NoError(s.put(c, "k", "1"))
		l.DripUp(10 * time.Second)
		time.Sleep(time.Minute)
		s.putSlowly(c, "k", "2", 10*time.Second)
	})
}

func TestSimDelayKeepsOrder(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		l.Delay(time.Millisecond, time.Second)
		events := c.Watch(s.T.Context(), "k", clientv3.WithCreatedNotify())
		<-events
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			for i := range 100 {
				time.Sleep(time.Duration(s.Rand().Int64N(int64(time.Second))))
				s.Admin().Put(s.T.Context(), "k", fmt.Sprint(i))
			}
		})
		for i := 0; i < 100; {
			for _, e := range (<-events).Events {
				if string(e.Kv.Value) != fmt.Sprint(i) {
					s.T.Fatalf("event %d has value %s", i, e.Kv.Value)
				}
				i++
			}
		}
		s.putSlowly(c, "k", "", 2*time.Millisecond)
	})
}

func TestSimResetBreaksConnection(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		s.NoError(s.put(c, "k", "1"))
		l.CutDown()
		done := make(chan error, 1)
		go func() { done <- s.put(c, "k", "2") }()
		time.Sleep(time.Minute)
		l.Reset()
		s.wantCode(<-done, codes.Unavailable)
		s.wantValue("k", "2")
		l.Heal()
		time.Sleep(time.Minute)
		s.NoError(s.put(c, "k", "3"))
		l.Sever()
		time.Sleep(time.Second)
		s.wantCode(s.put(c, "k", "4"), codes.DeadlineExceeded)
		s.wantValue("k", "3")
	})
}

func TestSimCounts(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, l := s.Client("a")
		ctx := s.T.Context()
		exists := clientv3.Compare(clientv3.CreateRevision("k"), ">", 0)
		get, put := clientv3.OpGet("k"), clientv3.OpPut("k", "v")
		for _, txn := range []clientv3.Txn{
			c.Txn(ctx).Then(get),
			c.Txn(ctx).If(exists).Then(put),
			c.Txn(ctx).If(exists).Else(clientv3.OpTxn(nil, []clientv3.Op{put}, nil)),
		} {
			_, err := txn.Commit()
			s.NoError(err)
		}
		_, err := c.Get(ctx, "k")
		s.NoError(err)
		_, err = c.Delete(ctx, "k")
		s.NoError(err)
		s.wantCount(l, IsWrite, 3)
		s.wantCount(l, IsRead, 2)
		s.wantCount(l, ByMethod("Txn"), 3)
		l.Forget()
		s.wantCount(l, IsWrite, 0)
	})
}

func TestSimRestart(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, _ := s.Client("a")
		replies := s.keepAlive(c, "k", 30)
		go discard(replies)
		events := c.Watch(s.T.Context(), "w")
		time.Sleep(time.Minute)
		s.Restart(10 * time.Second)
		s.wantValue("k", "held")
		_, err := s.Admin().Put(s.T.Context(), "w", "after")
		s.NoError(err)
		if e := <-events; len(e.Events) != 1 || string(e.Events[0].Kv.Value) != "after" {
			s.T.Errorf("after the restart the watch says %v", e)
		}
		time.Sleep(10 * time.Minute)
		s.wantValue("k", "held")
		s.Stop()
		s.wantCode(s.put(c, "k", "x"), codes.DeadlineExceeded)
	})
}

func TestSimCompact(t *testing.T) {
	timedSim(t, func(s *Sim) {
		c, _ := s.Client("a")
		s.NoError(s.put(c, "k", "1"))
		s.NoError(s.put(c, "k", "2"))
		rev := s.Compact()
		e := <-c.Watch(s.T.Context(), "k", clientv3.WithRev(1))
		if !errors.Is(e.Err(), rpctypes.ErrCompacted) || e.CompactRevision != rev {
			s.T.Errorf("the watch says %v, compacted at %d, want %d", e.Err(), e.CompactRevision, rev)
		}
	})
}

// Closing must end a simulation in which everything hangs.
func TestSimClosesWhileHanging(t *testing.T) {
	timedSim(t, func(s *Sim) {
		a, la := s.Client("a")
		go discard(s.keepAlive(a, "k", 6))
		la.Withhold(IsWrite, nil)
		go s.put(a, "k", "never")
		time.Sleep(time.Second)
		la.Cut()
		b, lb := s.Client("b")
		lb.Cut()
		go s.put(b, "k", "never")
		c, lc := s.Client("c")
		lc.DripDown(time.Hour)
		go s.put(c, "k", "never")
		time.Sleep(time.Second)
	})
}

func TestSimHistory(t *testing.T) {
	timedSim(t, func(s *Sim) {
		h := s.UncheckedHistory("x")
		good := s.History("good")
		good.Add(Belief{"a", 1, s.Now(), s.Now() + time.Second})
		good.Add(Belief{"b", 2, s.Now() + time.Second, s.Now() + time.Hour})
		h.Gain("a", 1)
		time.Sleep(time.Second)
		h.Lose("a")
		h.Gain("b", 2)
		if v := h.Violations(); len(v) != 0 {
			s.T.Error("none expected:", v)
		}
		time.Sleep(time.Second)
		h.Gain("c", 2)
		time.Sleep(time.Second)
		want := []string{
			fmt.Sprintf("x: two leaders: b (token 2, %v to %v) and c (token 2, %v to %v)", s.Now()-2*time.Second, s.Now(), s.Now()-time.Second, s.Now()),
			fmt.Sprintf("x: token does not grow: b (token 2, %v to %v), then c (token 2, %v to %v)", s.Now()-2*time.Second, s.Now(), s.Now()-time.Second, s.Now()),
		}
		if v := h.Violations(); !slices.Equal(v, want) {
			s.T.Errorf("got  %q\nwant %q", v, want)
		}
	})
}

func TestSimClockSuspend(t *testing.T) {
	timedSim(t, func(s *Sim) {
		a, b := s.Clock(), s.Clock()
		timer := time.NewTimer(time.Minute)
		a.Suspend(time.Hour)
		time.Sleep(time.Second)
		if d := a.Now() - b.Now(); d != time.Hour || b.Now() != s.Now() {
			s.T.Errorf("clocks are %v apart, b is at %v of %v", d, b.Now(), s.Now())
		}
		select {
		case <-timer.C:
			s.T.Error("a timer fired in the suspend")
		default:
		}
	})
}

// Bubbles do not touch each other: tests may simulate in parallel.
func TestSimParallel(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			timedSim(t, func(s *Sim) {
				c, l := s.Client("a")
				l.Delay(0, 100*time.Millisecond)
				go discard(s.keepAlive(c, "k", 6))
				time.Sleep(time.Minute)
				s.Restart(time.Second)
				time.Sleep(time.Minute)
				s.wantValue("k", "held")
			})
		})
	}
}
