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
)

// One test for each law of docs/protocol.md that the library as a whole keeps, in simulated time over a real etcd. What the
// arena records is checked against all the laws in each of them.

// Laws 1, 5 and 6: a leader that leaves hands over to the one that has waited longest, and nobody sees the path empty.
func TestLaw5FirstComeFirstServed(t *testing.T) {
	inArena(t, 10*time.Second, 5, func(a *arena) {
		a.clean = true
		a.startAll()
		for i := range 50 {
			m := a.awaitLeader()
			if want := a.members[i%5]; m != want {
				a.t.Fatalf("handover %d: %s leads, want %s", i, m.name, want.name)
			}
			m.stopNode()
			m.start()
		}
		a.clean = true
		for _, m := range a.members[1:] { // the last leaves last, and nobody waits
			if m != a.leader() {
				m.stopNode()
			}
		}
	})
}

// Law 2: a leader that is cut off from etcd stops believing before anybody else begins.
func TestLaw2CutOffLeader(t *testing.T) {
	cuts := map[string]func(*link){"both": (*link).cut, "up": (*link).cutUp, "down": (*link).cutDown, "severed": (*link).sever}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			inArena(t, 5*time.Second, 3, func(a *arena) {
				a.startAll()
				for range 20 {
					m := a.awaitLeader()
					time.Sleep(time.Duration(a.rand().Int64N(int64(5 * time.Second))))
					cut(m.link)
					a.await("another leader", func() bool { l := a.leader(); return l != nil && l != m })
					m.link.heal()
				}
				if ends := a.causes(); ends[locked.ErrExpired.Error()] < 20 {
					a.t.Errorf("%v, want 20 ends by expiry", ends)
				}
			})
		})
	}
}

// Law 2: replies that were held up and come one by one prolong nothing.
func TestLaw2DrippedReplies(t *testing.T) {
	inArena(t, 5*time.Second, 3, func(a *arena) {
		a.startAll()
		for range 20 {
			m := a.awaitLeader()
			m.link.dripDown(time.Duration(1+a.rand().IntN(2500)) * time.Millisecond)
			time.Sleep(20 * time.Second)
			m.link.dripDown(0)
			time.Sleep(10 * time.Second)
		}
	})
}

// Law 2: time that passes while the machine is suspended counts, though no timer fires.
func TestLaw2Suspend(t *testing.T) {
	inArena(t, 5*time.Second, 2, func(a *arena) {
		a.startAll()
		for range 20 {
			m := a.awaitLeader()
			m.link.cut() // nothing moves while it sleeps
			m.clock.suspend(10 * time.Second)
			if m.node.IsSelected() || m.node.Token() != 0 || m.node.Remaining() != 0 {
				a.t.Errorf("selected on resume, token %d, remaining %v", m.node.Token(), m.node.Remaining())
			}
			heard := len(m.heard())
			time.Sleep(250 * time.Millisecond)
			if events := m.heard()[heard:]; len(events) == 0 || !errors.Is(events[len(events)-1].Cause, locked.ErrExpired) {
				a.t.Errorf("a quarter of a second after the resume: %v", events)
			}
			a.await("another leader", func() bool { l := a.leader(); return l != nil && l != m })
			m.link.heal()
		}
	})
}

// Law 8: a started node is a candidate again after any outage, without help.
func TestLaw8ItComesBack(t *testing.T) {
	faults := map[string]func(a *arena, m *member){
		"cut":         func(a *arena, m *member) { m.link.cut(); time.Sleep(time.Minute); m.link.heal() },
		"reset":       func(a *arena, m *member) { m.link.reset() },
		"restart":     func(a *arena, m *member) { a.restart(time.Second) },
		"long outage": func(a *arena, m *member) { a.restart(10 * time.Minute) },
		"compaction while cut": func(a *arena, m *member) {
			m.link.cut()
			for i := range 10 {
				_, err := a.admin().Put(context.Background(), "/other", fmt.Sprint(i))
				a.noError(err)
			}
			time.Sleep(3 * a.ttl)
			a.compact()
			m.link.reset()
			m.link.heal()
		},
		"lease revoked": func(a *arena, m *member) {
			leases, err := a.admin().Leases(context.Background())
			a.noError(err)
			for _, l := range leases.Leases {
				_, err := a.admin().Revoke(context.Background(), l.ID)
				a.noError(err)
			}
		},
		"watch streams broken": func(a *arena, m *member) { m.link.breakStreams(byMethod("Watch"), nil) },
		"renewals broken":      func(a *arena, m *member) { m.link.breakStreams(byMethod("LeaseKeepAlive"), nil) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inArena(t, 5*time.Second, 3, func(a *arena) {
				a.startAll()
				for range 5 {
					for _, m := range a.members {
						fault(a, m)
						a.settled()
					}
				}
			})
		})
	}
}

// Law 1: at every revision the path holds what the term does, while values change and answers are lost.
func TestLaw1OneValue(t *testing.T) {
	inArena(t, 5*time.Second, 3, func(a *arena) {
		a.startAll()
		for i := range 60 {
			m := a.members[a.rand().IntN(3)]
			if i%3 == 0 {
				m.link.loseAnswer(byMethod("Txn"))
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			value := fmt.Sprint("value ", i)
			a.noError(m.node.SetValue(ctx, value))
			cancel()
			if l := a.awaitLeader(); l == m {
				got, err := a.admin().Get(context.Background(), a.path)
				a.noError(err)
				if want := m.name + ":::" + value; string(got.Kvs[0].Value) != want {
					a.t.Errorf("%q at the path, want %q", got.Kvs[0].Value, want)
				}
				m.stopNode()
				m.start()
			}
		}
	})
}

// Law 3: a leader that has lost its belief, but not its place, goes on under a larger token.
func TestLaw3TokensGrow(t *testing.T) {
	inArena(t, 5*time.Second, 1, func(a *arena) {
		a.startAll()
		m := a.members[0]
		last := int64(0)
		for range 30 {
			a.awaitLeader()
			if token := m.node.Token(); token <= last {
				a.t.Fatalf("token %d after %d", token, last)
			} else {
				last = token
			}
			m.link.cut()
			a.await("the end of the term", func() bool { return !m.node.IsSelected() })
			m.link.heal()
		}
	})
}

// Law 6: nobody sees the path empty when a leader leaves, even if the answer to its handover is lost.
func TestLaw6NoGap(t *testing.T) {
	inArena(t, 10*time.Second, 3, func(a *arena) {
		a.clean = true
		a.startAll()
		for range 30 {
			m := a.awaitLeader()
			m.link.loseAnswer(byMethod("Txn"))
			m.stopNode()
			m.start()
		}
		for _, m := range a.members {
			if m != a.leader() {
				m.stopNode()
			}
		}
	})
}

// Law 9: what a subscriber hears is true and in order while watches break, lag and are compacted away; a change that was
// in etcd's history when the watch came back is not missed.
func TestLaw9HonestEvents(t *testing.T) {
	simulate(t, func(s *sim) {
		a := newArena(s, "/race", 5*time.Second)
		a.clean = true
		for i := range 3 {
			a.join(fmt.Sprint("n", i), locked.NodeConfig{})
		}
		a.startAll()
		observer := a.join("observer", locked.NodeConfig{})
		a.await("the observer", func() bool { return len(observer.heard()) > 0 })
		for i := range 60 {
			switch i % 6 {
			case 1:
				observer.link.breakStreams(byMethod("Watch"), nil)
			case 3:
				observer.link.cut()
			case 5:
				observer.link.reset()
			}
			m := a.awaitLeader()
			m.stopNode()
			m.start()
			observer.link.heal()
			time.Sleep(20 * time.Second)
		}
		for _, m := range a.members[:3] {
			if m != a.leader() {
				m.stopNode()
			}
		}
		changes := 0
		for _, e := range observer.heard() {
			if e.Kind == locked.EventChange {
				changes++
			}
		}
		if changes != 61 {
			a.t.Errorf("the observer heard of %d changes, want 61", changes)
		}
		a.finish()
	})
}

// Law 10: a leader's death costs a constant number of write transactions, however many wait.
func TestLaw10NoHerd(t *testing.T) {
	inArena(t, 5*time.Second, 40, func(a *arena) {
		a.startAll()
		for range 5 {
			m := a.awaitLeader()
			for _, other := range a.members {
				other.link.forget()
			}
			m.die()
			a.await("the next leader", func() bool { return a.leader() != nil })
			writes := 0
			for _, other := range a.alive() {
				writes += other.link.count(isWrite)
			}
			if writes != 1 {
				a.t.Errorf("%d write transactions, want 1", writes)
			}
		}
	})
}

// Law 11: when Close returns nothing runs any more (the bubble checks that), and a TTL later no key is left, whatever
// answers were lost (finish checks that).
func TestLaw11NothingIsLeft(t *testing.T) {
	faults := map[string]func(l *link){
		"none":           func(l *link) {},
		"answers lost":   func(l *link) { l.loseAnswer(isWrite).times(3) },
		"requests fail":  func(l *link) { l.fail(isWrite, nil).times(3) },
		"never answered": func(l *link) { l.slow(isWrite, time.Hour).times(2) },
		"cut":            (*link).cut,
		"severed":        (*link).sever,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inArena(t, 5*time.Second, 3, func(a *arena) {
				a.startAll()
				for _, m := range a.members {
					fault(m.link)
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					err := m.locker.Close(ctx)
					cancel()
					if reachable := name != "cut" && name != "severed" && name != "never answered"; reachable && err != nil {
						a.t.Errorf("closing %s: %v", m.name, err)
					}
					m.dead = true
				}
			})
		})
	}
}

// Law 12: an enter that commits after its node was stopped elects nobody for long: the audit of a sibling's lease finds it.
func TestLaw12NoPhantom(t *testing.T) {
	for name, wait := range map[string]bool{"elected": false, "queued": true} {
		t.Run(name, func(t *testing.T) {
			inArena(t, 5*time.Second, 2, func(a *arena) {
				first, other := a.members[0], a.members[1]
				sibling, err := first.locker.Node("/sibling", locked.NodeConfig{ID: "sibling", Value: "v", TTL: a.ttl})
				a.noError(err)
				a.noError(sibling.Start(context.Background()))
				if wait {
					other.start()
				}
				late := first.link.withhold(isWrite, errFault)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				started := make(chan error, 1)
				go func() { started <- first.node.Start(ctx) }()
				late.wait()
				first.link.fail(isWrite, nil).times(1) // so that the node has not entered when it is stopped
				first.stopNode()
				if err := <-started; err == nil {
					a.t.Error("Start succeeded")
				}
				_, err = late.commit()
				a.noError(err)
				got, err := a.admin().Get(context.Background(), a.path+":::", clientv3.WithPrefix())
				a.noError(err)
				if len(etcd.View(a.path, got).Queue)+len(got.Kvs) == 0 {
					a.t.Fatal("the late enter left nothing to clean up")
				}
				if !wait {
					other.start()
				}
				a.await("the other to lead alone", func() bool {
					got, err := a.admin().Get(context.Background(), a.path+":::", clientv3.WithPrefix())
					a.noError(err)
					return a.leader() == other && len(got.Kvs) == 1
				})
				if a.now() > 30*time.Second {
					a.t.Errorf("cleaned up only at %v", a.now())
				}
			})
		})
	}
}

// A fenced transaction costs one request, as any other.
func TestFencedTxnIsOneRequest(t *testing.T) {
	inArena(t, 10*time.Second, 1, func(a *arena) {
		m := a.members[0]
		err := m.node.Lead(context.Background(), func(ctx context.Context, term *locked.Term) error {
			time.Sleep(time.Second) // what follows upon an election is over by then
			m.link.forget()
			_, err := term.Txn(ctx).Then(clientv3.OpPut("/fenced", "v")).Commit()
			return err
		})
		a.noError(err)
		if n := len(m.link.requests(func(_ string, msg any) bool { return isWrite("", msg) && strings.Contains(fmt.Sprint(msg), "/fenced") })); n != 1 {
			a.t.Errorf("%d requests, want 1", n)
		}
	})
}

// Closing a locker hands over many elections in each request, not one by one, and nobody sees a path empty.
func TestCloseHandsOverTogether(t *testing.T) {
	const elections = 500
	inArena(t, 10*time.Second, 2, func(a *arena) {
		var successors []*locked.Node
		for i := range elections {
			for j, m := range a.members {
				n, err := m.locker.Node(fmt.Sprint("/many/", i), locked.NodeConfig{ID: m.name, Value: "v", TTL: a.ttl})
				a.noError(err)
				a.noError(n.Start(context.Background()))
				if j == 1 {
					successors = append(successors, n)
				}
			}
		}
		first, err := a.admin().Get(context.Background(), "/many/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		a.noError(err)
		m := a.members[0]
		m.link.forget()
		a.noError(m.locker.Close(context.Background()))
		m.dead = true
		if n := m.link.count(isWrite); n > elections/4 {
			a.t.Errorf("%d writes for %d elections", n, elections)
		}
		for _, n := range successors {
			a.await("the successor", n.IsSelected)
		}
		end, err := a.admin().Put(context.Background(), "/many/end", "")
		a.noError(err)
		watch, cancel := context.WithCancel(context.Background())
		defer cancel()
		for resp := range a.admin().Watch(watch, "/many/", clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision+1)) {
			for _, e := range resp.Events {
				if _, part, _ := election.ParseKey(string(e.Kv.Key)); part == election.PartPath && e.Type == clientv3.EventTypeDelete {
					a.t.Errorf("law 6: %s was empty at revision %d", e.Kv.Key, e.Kv.ModRevision)
				}
				if e.Kv.ModRevision == end.Header.Revision {
					return
				}
			}
		}
	})
}
