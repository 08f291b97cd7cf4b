package locked

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// One test for each law of docs/protocol.md that the library as a whole keeps, in simulated time over a real etcd. What the
// arena records is checked against all the laws in each of them.

func inArena(t *testing.T, ttl time.Duration, members int, f func(a *arena)) {
	t.Helper()
	simulate(t, func(s *sim) {
		a := newArena(s, "/race", ttl)
		for i := range members {
			a.join(fmt.Sprint("n", i), NodeConfig{})
		}
		f(a)
		a.finish()
	})
}

func (a *arena) startAll() {
	for _, m := range a.members {
		m.start()
	}
}

func (m *member) stopNode() {
	m.a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := m.node.Stop(ctx); err != nil {
		m.a.t.Errorf("at %v: %v", m.a.now(), err)
	}
}

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
				if a.ends[ErrExpired.Error()] < 20 {
					a.t.Errorf("%v, want 20 ends by expiry", a.ends)
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
			if events := m.heard()[heard:]; len(events) == 0 || !errors.Is(events[len(events)-1].Cause, ErrExpired) {
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

// settled waits until every member that lives leads or waits, and one of them leads and knows it.
func (a *arena) settled() {
	a.t.Helper()
	a.await("all to be candidates again", func() bool {
		srv := a.running()
		if srv == nil || a.leader() == nil {
			return false
		}
		got, err := srv.admin.Get(context.Background(), a.path+":::", clientv3.WithPrefix())
		a.noError(err)
		view := viewOf(a.path, got)
		return view.Term.Exists() && len(view.Queue) == len(a.alive())-1 && idOf(view.Term) == a.leader().name
	})
}
