package test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/test/sim"
)

// One test for each law of docs/protocol.md that the library as a whole keeps, in simulated time over a real etcd. What the
// arena records is checked against all the laws in each of them.

// Laws 1, 5 and 6: a leader that leaves hands over to the one that has waited longest, and nobody sees the path empty.
func TestLaw5FirstComeFirstServed(t *testing.T) {
	sim.InArena(t, 10*time.Second, 5, func(a *sim.Arena) {
		a.Clean = true
		a.StartAll()
		for i := range 50 {
			m := a.AwaitLeader()
			if want := a.Members[i%5]; m != want {
				a.T.Fatalf("handover %d: %s leads, want %s", i, m.Name, want.Name)
			}
			m.Stop()
			m.Start()
		}
		a.Clean = true
		for _, m := range a.Members[1:] { // the last leaves last, and nobody waits
			if m != a.Leader() {
				m.Stop()
			}
		}
	})
}

// Law 2: a leader that is cut off from etcd stops believing before anybody else begins.
func TestLaw2CutOffLeader(t *testing.T) {
	t.Parallel()
	cuts := map[string]func(*sim.Link){"both": (*sim.Link).Cut, "up": (*sim.Link).CutUp, "down": (*sim.Link).CutDown, "severed": (*sim.Link).Sever}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
				a.StartAll()
				for range 20 {
					m := a.AwaitLeader()
					time.Sleep(time.Duration(a.Rand().Int64N(int64(5 * time.Second))))
					cut(m.Link)
					a.Await("another leader", func() bool { l := a.Leader(); return l != nil && l != m })
					m.Link.Heal()
				}
				if ends := a.Causes(); ends[locked.ErrExpired.Error()] < 20 {
					a.T.Errorf("%v, want 20 ends by expiry", ends)
				}
			})
		})
	}
}

// Law 2: replies that were held up and come one by one prolong nothing.
func TestLaw2DrippedReplies(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
		a.StartAll()
		for range 20 {
			m := a.AwaitLeader()
			m.Link.DripDown(time.Duration(1+a.Rand().IntN(2500)) * time.Millisecond)
			time.Sleep(20 * time.Second)
			m.Link.DripDown(0)
			time.Sleep(10 * time.Second)
		}
	})
}

// Law 2: time that passes while the machine is suspended counts, though no timer fires.
func TestLaw2Suspend(t *testing.T) {
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		for range 20 {
			m := a.AwaitLeader()
			m.Link.Cut() // nothing moves while it sleeps
			m.Clock.Suspend(10 * time.Second)
			if m.Node.IsSelected() || m.Node.Token() != 0 || m.Node.Remaining() != 0 {
				a.T.Errorf("selected on resume, token %d, remaining %v", m.Node.Token(), m.Node.Remaining())
			}
			heard := len(m.Heard())
			time.Sleep(250 * time.Millisecond)
			if events := m.Heard()[heard:]; len(events) == 0 || !errors.Is(events[len(events)-1].Cause, locked.ErrExpired) {
				a.T.Errorf("a quarter of a second after the resume: %v", events)
			}
			a.Await("another leader", func() bool { l := a.Leader(); return l != nil && l != m })
			m.Link.Heal()
		}
	})
}

// Law 8: a started node is a candidate again after any outage, without help.
func TestLaw8ItComesBack(t *testing.T) {
	t.Parallel()
	faults := map[string]func(a *sim.Arena, m *sim.Member){
		"cut":         func(a *sim.Arena, m *sim.Member) { m.Link.Cut(); time.Sleep(time.Minute); m.Link.Heal() },
		"reset":       func(a *sim.Arena, m *sim.Member) { m.Link.Reset() },
		"restart":     func(a *sim.Arena, m *sim.Member) { a.Restart(time.Second) },
		"long outage": func(a *sim.Arena, m *sim.Member) { a.Restart(10 * time.Minute) },
		"compaction while cut": func(a *sim.Arena, m *sim.Member) {
			m.Link.Cut()
			for i := range 10 {
				_, err := a.Admin().Put(context.Background(), "/other", fmt.Sprint(i))
				a.NoError(err)
			}
			time.Sleep(3 * a.TTL)
			a.Compact()
			m.Link.Reset()
			m.Link.Heal()
		},
		"lease revoked": func(a *sim.Arena, m *sim.Member) {
			leases, err := a.Admin().Leases(context.Background())
			a.NoError(err)
			for _, l := range leases.Leases {
				_, err := a.Admin().Revoke(context.Background(), l.ID)
				a.NoError(err)
			}
		},
		"watch streams broken": func(a *sim.Arena, m *sim.Member) { m.Link.BreakStreams(sim.ByMethod("Watch"), nil) },
		"renewals broken":      func(a *sim.Arena, m *sim.Member) { m.Link.BreakStreams(sim.ByMethod("LeaseKeepAlive"), nil) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
				a.StartAll()
				for range length(5, 1) {
					for _, m := range a.Members {
						fault(a, m)
						a.AwaitSettled()
					}
				}
			})
		})
	}
}

// Law 1: at every revision the path holds what the term does, while values change and answers are lost.
func TestLaw1OneValue(t *testing.T) {
	sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
		a.StartAll()
		for i := range 60 {
			m := a.Members[a.Rand().IntN(3)]
			if i%3 == 0 {
				m.Link.LoseAnswer(sim.ByMethod("Txn"))
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			value := fmt.Sprint("value ", i)
			a.NoError(m.Node.SetValue(ctx, value))
			cancel()
			if l := a.AwaitLeader(); l == m {
				got, err := a.Admin().Get(context.Background(), a.Path)
				a.NoError(err)
				if want := m.Name + ":::" + value; string(got.Kvs[0].Value) != want {
					a.T.Errorf("%q at the path, want %q", got.Kvs[0].Value, want)
				}
				m.Stop()
				m.Start()
			}
		}
	})
}

// Law 3: a leader that has lost its belief, but not its place, goes on under a larger token.
func TestLaw3TokensGrow(t *testing.T) {
	sim.InArena(t, 5*time.Second, 1, func(a *sim.Arena) {
		a.StartAll()
		m := a.Members[0]
		last := int64(0)
		for range 30 {
			a.AwaitLeader()
			if token := m.Node.Token(); token <= last {
				a.T.Fatalf("token %d after %d", token, last)
			} else {
				last = token
			}
			m.Link.Cut()
			a.Await("the end of the term", func() bool { return !m.Node.IsSelected() })
			m.Link.Heal()
		}
	})
}

// Law 6: nobody sees the path empty when a leader leaves, even if the answer to its handover is lost.
func TestLaw6NoGap(t *testing.T) {
	sim.InArena(t, 10*time.Second, 3, func(a *sim.Arena) {
		a.Clean = true
		a.StartAll()
		for range 30 {
			m := a.AwaitLeader()
			m.Link.LoseAnswer(sim.ByMethod("Txn"))
			m.Stop()
			m.Start()
		}
		for _, m := range a.Members {
			if m != a.Leader() {
				m.Stop()
			}
		}
	})
}

// Law 9: what a subscriber hears is true and in order while watches break, lag and are compacted away; a change that was
// in etcd's history when the watch came back is not missed.
func TestLaw9HonestEvents(t *testing.T) {
	t.Parallel()
	sim.Run(t, func(s *sim.Sim) {
		a := sim.NewArena(s, "/race", 5*time.Second)
		a.Clean = true
		for i := range 3 {
			a.Join(fmt.Sprint("n", i), locked.NodeConfig{})
		}
		a.StartAll()
		observer := a.Join("observer", locked.NodeConfig{})
		a.Await("the observer", func() bool { return len(observer.Heard()) > 0 })
		for i := range 60 {
			switch i % 6 {
			case 1:
				observer.Link.BreakStreams(sim.ByMethod("Watch"), nil)
			case 3:
				observer.Link.Cut()
			case 5:
				observer.Link.Reset()
			}
			m := a.AwaitLeader()
			m.Stop()
			m.Start()
			observer.Link.Heal()
			time.Sleep(20 * time.Second)
		}
		for _, m := range a.Members[:3] {
			if m != a.Leader() {
				m.Stop()
			}
		}
		changes := 0
		for _, e := range observer.Heard() {
			if e.Kind == locked.EventChange {
				changes++
			}
		}
		if changes != 61 {
			a.T.Errorf("the observer heard of %d changes, want 61", changes)
		}
		a.Finish()
	})
}

// Law 10: a leader's death costs a constant number of write transactions, however many wait.
func TestLaw10NoHerd(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 5*time.Second, 40, func(a *sim.Arena) {
		a.StartAll()
		for range 5 {
			m := a.AwaitLeader()
			for _, other := range a.Members {
				other.Link.Forget()
			}
			m.Die()
			a.Await("the next leader", func() bool { return a.Leader() != nil })
			writes := 0
			for _, other := range a.Alive() {
				writes += other.Link.Count(sim.IsWrite)
			}
			if writes != 1 {
				a.T.Errorf("%d write transactions, want 1", writes)
			}
		}
	})
}

// Law 11: when Close returns nothing runs any more (the bubble checks that), and a TTL later no key is left, whatever
// answers were lost (finish checks that).
func TestLaw11NothingIsLeft(t *testing.T) {
	faults := map[string]func(l *sim.Link){
		"none":           func(l *sim.Link) {},
		"answers lost":   func(l *sim.Link) { l.LoseAnswer(sim.IsWrite).Times(3) },
		"requests fail":  func(l *sim.Link) { l.Fail(sim.IsWrite, nil).Times(3) },
		"never answered": func(l *sim.Link) { l.Slow(sim.IsWrite, time.Hour).Times(2) },
		"cut":            (*sim.Link).Cut,
		"severed":        (*sim.Link).Sever,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
				a.StartAll()
				for _, m := range a.Members {
					fault(m.Link)
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					err := m.Locker.Close(ctx)
					cancel()
					if reachable := name != "cut" && name != "severed" && name != "never answered"; reachable && err != nil {
						a.T.Errorf("closing %s: %v", m.Name, err)
					}
					m.Dead = true
				}
			})
		})
	}
}

// Law 12: an enter that commits after its node was stopped elects nobody for long: the sweep of a sibling's lease finds it.
func TestLaw12NoPhantom(t *testing.T) {
	for name, wait := range map[string]bool{"elected": false, "queued": true} {
		t.Run(name, func(t *testing.T) {
			sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
				first, other := a.Members[0], a.Members[1]
				sibling, err := first.Locker.Node("/sibling", locked.NodeConfig{ID: "sibling", Value: "v", TTL: a.TTL})
				a.NoError(err)
				a.NoError(sibling.Start(context.Background()))
				if wait {
					other.Start()
				}
				late := first.Link.Withhold(sim.IsWrite, sim.ErrFault)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				started := make(chan error, 1)
				go func() { started <- first.Node.Start(ctx) }()
				late.Wait()
				first.Link.Fail(sim.IsWrite, nil).Times(1) // so that the node has not entered when it is stopped
				first.Stop()
				if err := <-started; err == nil {
					a.T.Error("Start succeeded")
				}
				_, err = late.Commit()
				a.NoError(err)
				got, err := a.Admin().Get(context.Background(), a.Path+":::", clientv3.WithPrefix())
				a.NoError(err)
				if len(etcd.View(a.Path, got).Queue)+len(got.Kvs) == 0 {
					a.T.Fatal("the late enter left nothing to clean up")
				}
				if !wait {
					other.Start()
				}
				a.Await("the other to lead alone", func() bool {
					got, err := a.Admin().Get(context.Background(), a.Path+":::", clientv3.WithPrefix())
					a.NoError(err)
					return a.Leader() == other && len(got.Kvs) == 1
				})
				if a.Now() > 30*time.Second {
					a.T.Errorf("cleaned up only at %v", a.Now())
				}
			})
		})
	}
}

// A fenced transaction costs one request, as any other.
func TestFencedTxnIsOneRequest(t *testing.T) {
	sim.InArena(t, 10*time.Second, 1, func(a *sim.Arena) {
		m := a.Members[0]
		err := m.Node.Lead(context.Background(), func(ctx context.Context, term *locked.Term) error {
			time.Sleep(time.Second) // what follows upon an election is over by then
			m.Link.Forget()
			_, err := term.Txn(ctx).Then(clientv3.OpPut("/fenced", "v")).Commit()
			return err
		})
		a.NoError(err)
		if n := len(m.Link.Requests(func(_ string, msg any) bool {
			return sim.IsWrite("", msg) && strings.Contains(fmt.Sprint(msg), "/fenced")
		})); n != 1 {
			a.T.Errorf("%d requests, want 1", n)
		}
	})
}

// Closing a locker hands over many elections in each request, not one by one, and nobody sees a path empty.
func TestCloseHandsOverTogether(t *testing.T) {
	t.Parallel()
	const elections = 500
	sim.InArena(t, 10*time.Second, 2, func(a *sim.Arena) {
		var successors []*locked.Node
		for i := range elections {
			for j, m := range a.Members {
				n, err := m.Locker.Node(fmt.Sprint("/many/", i), locked.NodeConfig{ID: m.Name, Value: "v", TTL: a.TTL})
				a.NoError(err)
				a.NoError(n.Start(context.Background()))
				if j == 1 {
					successors = append(successors, n)
				}
			}
		}
		first, err := a.Admin().Get(context.Background(), "/many/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		a.NoError(err)
		m := a.Members[0]
		m.Link.Forget()
		a.NoError(m.Locker.Close(context.Background()))
		m.Dead = true
		if n := m.Link.Count(sim.IsWrite); n > elections/4 {
			a.T.Errorf("%d writes for %d elections", n, elections)
		}
		for _, n := range successors {
			a.Await("the successor", n.IsSelected)
		}
		end, err := a.Admin().Put(context.Background(), "/many/end", "")
		a.NoError(err)
		watch, cancel := context.WithCancel(context.Background())
		defer cancel()
		for resp := range a.Admin().Watch(watch, "/many/", clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision+1)) {
			for _, e := range resp.Events {
				if _, part, _ := election.ParseKey(string(e.Kv.Key)); part == election.PartPath && e.Type == clientv3.EventTypeDelete {
					a.T.Errorf("law 6: %s was empty at revision %d", e.Kv.Key, e.Kv.ModRevision)
				}
				if e.Kv.ModRevision == end.Header.Revision {
					return
				}
			}
		}
	})
}
