package test

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
func timedSim(t *testing.T, f func(s *sim)) {
	t.Helper()
	start := time.Now()
	simulate(t, f)
	t.Logf("took %v of real time", time.Since(start).Round(time.Millisecond))
}

// wantValue checks what the server has under key; "" is for nothing.
func (s *sim) wantValue(key, want string) {
	s.t.Helper()
	r, err := s.admin().Get(s.t.Context(), key)
	s.noError(err)
	got := ""
	for _, kv := range r.Kvs {
		got = string(kv.Value)
	}
	if got != want {
		s.t.Errorf("at %v: %s = %q, want %q", s.now(), key, got, want)
	}
}

func (s *sim) wantCode(err error, want codes.Code) {
	s.t.Helper()
	var e rpctypes.EtcdError
	got := status.Code(err)
	switch {
	case errors.As(err, &e):
		got = e.Code()
	case errors.Is(err, context.DeadlineExceeded):
		got = codes.DeadlineExceeded
	}
	if got != want {
		s.t.Errorf("at %v: error %v (%v), want %v", s.now(), err, got, want)
	}
}

func (s *sim) wantCount(l *link, m matcher, want int) {
	s.t.Helper()
	if n := l.count(m); n != want {
		s.t.Errorf("%d requests, want %d", n, want)
	}
}

// put sets key by a transaction. It waits five minutes at most: without a
// deadline clientv3 waits for a server for ever.
func (s *sim) put(c *clientv3.Client, key, value string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	_, err := c.Txn(ctx).Then(clientv3.OpPut(key, value)).Commit()
	return err
}

// keepAlive puts key on a new lease and lets clientv3 renew that until it cannot.
func (s *sim) keepAlive(c *clientv3.Client, key string, ttl int64) <-chan *clientv3.LeaseKeepAliveResponse {
	s.t.Helper()
	g, err := c.Grant(s.t.Context(), ttl)
	s.noError(err)
	_, err = c.Put(s.t.Context(), key, "held", clientv3.WithLease(g.ID))
	s.noError(err)
	replies, err := c.KeepAlive(s.t.Context(), g.ID)
	s.noError(err)
	return replies
}

func discard[T any](c <-chan T) {
	for range c {
	}
}

func TestSimLeaseLivesForAnHour(t *testing.T) {
	timedSim(t, func(s *sim) {
		s.limit(2 * time.Hour)
		c, l := s.client("a")
		go discard(s.keepAlive(c, "k", 6))
		time.Sleep(time.Hour)
		s.wantValue("k", "held")
		if n := l.count(isRenewal); n < 1300 || n > 1900 {
			s.t.Errorf("%d renewals in an hour, want one each 2 to 2.5 s", n)
		}
	})
}

func TestSimLeaseExpiresBehindCut(t *testing.T) {
	for name, cut := range map[string]func(*link){"both": (*link).cut, "up": (*link).cutUp, "severed": (*link).sever} {
		t.Run(name, func(t *testing.T) {
			timedSim(t, func(s *sim) {
				c, l := s.client("a")
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
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		go discard(s.keepAlive(c, "k", 6))
		for range 10 {
			time.Sleep(10 * time.Second)
			l.cut()
			time.Sleep(3 * time.Second)
			l.heal()
		}
		s.wantValue("k", "held")
	})
}

// A cut of the way down applies the request and holds the answer.
func TestSimCutDownHoldsAnswer(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		s.noError(s.put(c, "k", "1"))
		l.cutDown()
		done := make(chan error, 1)
		go func() { done <- s.put(c, "k", "2") }()
		time.Sleep(time.Minute)
		s.wantValue("k", "2")
		select {
		case err := <-done:
			s.t.Fatal("an answer came through the cut:", err)
		default:
		}
		l.heal()
		s.noError(<-done)
	})
}

// What was held up behind a cut comes in order, one by one.
func TestSimDripDrainsQueue(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		s.noError(s.put(c, "k", "0"))
		events := c.Watch(s.t.Context(), "k")
		time.Sleep(time.Second)
		l.cutDown()
		for i := range 4 {
			_, err := s.admin().Put(s.t.Context(), "k", fmt.Sprint(i))
			s.noError(err)
			time.Sleep(time.Second)
		}
		l.dripDown(10 * time.Second)
		l.heal()
		healed := s.now()
		for i := range 4 {
			e := <-events
			at := s.now() - healed
			if v := string(e.Events[0].Kv.Value); v != fmt.Sprint(i) || at < time.Duration(i)*10*time.Second || at > time.Duration(i+1)*10*time.Second {
				s.t.Errorf("event %d: value %s, %v after the cut", i, v, at)
			}
		}
	})
}

func TestSimDripUpDelaysRequest(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		s.noError(s.put(c, "k", "1"))
		l.dripUp(10 * time.Second)
		time.Sleep(time.Minute)
		start := s.now()
		s.noError(s.put(c, "k", "2"))
		if took := s.now() - start; took < 10*time.Second {
			s.t.Errorf("a put took %v in spite of the drip", took)
		}
	})
}

func TestSimDelayKeepsOrder(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		l.delay(time.Millisecond, time.Second)
		events := c.Watch(s.t.Context(), "k", clientv3.WithCreatedNotify())
		<-events
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			for i := range 100 {
				time.Sleep(time.Duration(s.rand().Int64N(int64(time.Second))))
				s.admin().Put(s.t.Context(), "k", fmt.Sprint(i))
			}
		})
		for i := 0; i < 100; {
			for _, e := range (<-events).Events {
				if string(e.Kv.Value) != fmt.Sprint(i) {
					s.t.Fatalf("event %d has value %s", i, e.Kv.Value)
				}
				i++
			}
		}
		start := s.now()
		s.noError(s.put(c, "k", ""))
		if took := s.now() - start; took < 2*time.Millisecond {
			s.t.Errorf("a put took %v in spite of the delay", took)
		}
	})
}

func TestSimResetBreaksConnection(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		s.noError(s.put(c, "k", "1"))
		l.cutDown()
		done := make(chan error, 1)
		go func() { done <- s.put(c, "k", "2") }()
		time.Sleep(time.Minute)
		l.reset()
		s.wantCode(<-done, codes.Unavailable)
		s.wantValue("k", "2")
		l.heal()
		time.Sleep(time.Minute)
		s.noError(s.put(c, "k", "3"))
		l.sever()
		time.Sleep(time.Second)
		s.wantCode(s.put(c, "k", "4"), codes.DeadlineExceeded)
		s.wantValue("k", "3")
	})
}

func TestSimCounts(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, l := s.client("a")
		ctx := s.t.Context()
		exists := clientv3.Compare(clientv3.CreateRevision("k"), ">", 0)
		get, put := clientv3.OpGet("k"), clientv3.OpPut("k", "v")
		for _, txn := range []clientv3.Txn{
			c.Txn(ctx).Then(get),
			c.Txn(ctx).If(exists).Then(put),
			c.Txn(ctx).If(exists).Else(clientv3.OpTxn(nil, []clientv3.Op{put}, nil)),
		} {
			_, err := txn.Commit()
			s.noError(err)
		}
		_, err := c.Get(ctx, "k")
		s.noError(err)
		_, err = c.Delete(ctx, "k")
		s.noError(err)
		s.wantCount(l, isWrite, 3)
		s.wantCount(l, isRead, 2)
		s.wantCount(l, byMethod("Txn"), 3)
		l.forget()
		s.wantCount(l, isWrite, 0)
	})
}

func TestSimRestart(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, _ := s.client("a")
		replies := s.keepAlive(c, "k", 30)
		go discard(replies)
		events := c.Watch(s.t.Context(), "w")
		time.Sleep(time.Minute)
		s.restart(10 * time.Second)
		s.wantValue("k", "held")
		_, err := s.admin().Put(s.t.Context(), "w", "after")
		s.noError(err)
		if e := <-events; len(e.Events) != 1 || string(e.Events[0].Kv.Value) != "after" {
			s.t.Errorf("after the restart the watch says %v", e)
		}
		time.Sleep(10 * time.Minute)
		s.wantValue("k", "held")
		s.stop()
		s.wantCode(s.put(c, "k", "x"), codes.DeadlineExceeded)
	})
}

func TestSimCompact(t *testing.T) {
	timedSim(t, func(s *sim) {
		c, _ := s.client("a")
		s.noError(s.put(c, "k", "1"))
		s.noError(s.put(c, "k", "2"))
		rev := s.compact()
		e := <-c.Watch(s.t.Context(), "k", clientv3.WithRev(1))
		if !errors.Is(e.Err(), rpctypes.ErrCompacted) || e.CompactRevision != rev {
			s.t.Errorf("the watch says %v, compacted at %d, want %d", e.Err(), e.CompactRevision, rev)
		}
	})
}

// Closing must end a simulation in which everything hangs.
func TestSimClosesWhileHanging(t *testing.T) {
	timedSim(t, func(s *sim) {
		a, la := s.client("a")
		go discard(s.keepAlive(a, "k", 6))
		la.withhold(isWrite, nil)
		go s.put(a, "k", "never")
		time.Sleep(time.Second)
		la.cut()
		b, lb := s.client("b")
		lb.cut()
		go s.put(b, "k", "never")
		c, lc := s.client("c")
		lc.dripDown(time.Hour)
		go s.put(c, "k", "never")
		time.Sleep(time.Second)
	})
}

func TestSimHistory(t *testing.T) {
	timedSim(t, func(s *sim) {
		h := s.uncheckedHistory("x")
		good := s.history("good")
		good.add(leaderBelief{"a", 1, s.now(), s.now() + time.Second})
		good.add(leaderBelief{"b", 2, s.now() + time.Second, s.now() + time.Hour})
		h.gain("a", 1)
		time.Sleep(time.Second)
		h.lose("a")
		h.gain("b", 2)
		if v := h.violations(); len(v) != 0 {
			s.t.Error("none expected:", v)
		}
		time.Sleep(time.Second)
		h.gain("c", 2)
		time.Sleep(time.Second)
		want := []string{
			fmt.Sprintf("x: two leaders: b (token 2, %v to %v) and c (token 2, %v to %v)", s.now()-2*time.Second, s.now(), s.now()-time.Second, s.now()),
			fmt.Sprintf("x: token does not grow: b (token 2, %v to %v), then c (token 2, %v to %v)", s.now()-2*time.Second, s.now(), s.now()-time.Second, s.now()),
		}
		if v := h.violations(); !slices.Equal(v, want) {
			s.t.Errorf("got  %q\nwant %q", v, want)
		}
	})
}

func TestSimClockSuspend(t *testing.T) {
	timedSim(t, func(s *sim) {
		a, b := s.clock(), s.clock()
		timer := time.NewTimer(time.Minute)
		a.suspend(time.Hour)
		time.Sleep(time.Second)
		if d := a.Now() - b.Now(); d != time.Hour || b.Now() != s.now() {
			s.t.Errorf("clocks are %v apart, b is at %v of %v", d, b.Now(), s.now())
		}
		select {
		case <-timer.C:
			s.t.Error("a timer fired in the suspend")
		default:
		}
	})
}

// Bubbles do not touch each other: tests may simulate in parallel.
func TestSimParallel(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			timedSim(t, func(s *sim) {
				c, l := s.client("a")
				l.delay(0, 100*time.Millisecond)
				go discard(s.keepAlive(c, "k", 6))
				time.Sleep(time.Minute)
				s.restart(time.Second)
				time.Sleep(time.Minute)
				s.wantValue("k", "held")
			})
		})
	}
}
