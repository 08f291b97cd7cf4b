package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/test/sim"
)

// An etcd that was replaced by an empty one, or restored to what was backed up, at any time, and away for any time: there are
// never two leaders, all are candidates again by themselves, and everybody is told once.
func TestEtcdGoesBack(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"empty", "restored", "another"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			inArenas(t, length(8, 3), func(a *sim.Arena) {
				observer := newObserver(a)
				a.StartAll()
				a.AwaitSettled()
				for round := range 4 {
					var b sim.Backup
					switch from {
					case "restored":
						b = a.BackUp()
						a.AwaitSettled()
					case "another":
						b.Cluster = fmt.Sprint("other", round)
					}
					handed := a.Leader()
					handed.Bounce() // what all know is newer than the backup
					a.AwaitSettled()
					a.Await("all to know that", func() bool {
						return !slices.ContainsFunc(a.Members, func(m *sim.Member) bool { return m.Node.Leader().Token != a.Leader().Node.Token() })
					})
					a.Pause(1)
					told := wentBack(a)
					a.GoBack(b, time.Duration(a.Rand().Int64N(int64(2*a.TTL))))
					for i := 0; i < 500 && b.Cluster != ""; i++ { // its revisions are later than those that were
						_, err := a.Admin().Put(a.T.Context(), "other", "")
						a.NoError(err)
					}
					back := a.Now()
					a.Await("all to have heard", func() bool {
						return !slices.ContainsFunc(wentBack(a), func(n int) bool { return n <= told[0] })
					})
					a.AwaitSettled()
					a.Await("the observer to know who leads", func() bool { return observer.leader() == a.Leader().Name })
					if took := a.Now() - back; took > 4*a.TTL {
						a.T.Errorf("law 8: %v after etcd had come back not all were candidates again", took)
					}
					time.Sleep(2 * a.TTL)
					for i, n := range wentBack(a) {
						if n != told[i]+1 {
							a.T.Errorf("%s was told %d times that etcd has gone back", a.Members[i].Name, n-told[i])
						}
					}
				}
			})
		})
	}
}

// observer follows the election without competing for it.
type observer struct {
	mu    sync.Mutex
	heard locked.Event
}

func newObserver(a *sim.Arena) *observer {
	client, _ := a.LockedClient("observer", nil)
	l, err := locked.NewFromClient(client, locked.WithTTL(a.TTL))
	a.NoError(err)
	o := &observer{}
	a.T.Cleanup(func() { l.Close(context.Background()) })
	go func() {
		for e := range l.Watch(context.Background(), a.Path) {
			o.mu.Lock()
			if e.Kind == locked.EventChange || e.Kind == locked.EventVacant || e.Kind == locked.EventPing {
				o.heard = e
			}
			o.mu.Unlock()
		}
	}()
	return o
}

func (o *observer) leader() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heard.ID
}

// wentBack is how often each member was told that etcd has gone back.
func wentBack(a *sim.Arena) (times []int) {
	for _, m := range a.Members {
		n := 0
		for _, e := range m.Heard() {
			if errors.Is(e.Cause, locked.ErrWentBack) {
				n++
			}
		}
		times = append(times, n)
	}
	return times
}

// A leader that cannot know yet that its etcd was replaced goes on believing to lead. Whoever has found out waits for that to end.
func TestLaw2EtcdGoesBack(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 10*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		a.AwaitSettled()
		time.Sleep(3 * a.TTL)
		leader := a.Leader()
		leader.Link.Cut()
		a.GoBack(sim.Backup{}, 0)
		if a.Leader() != leader {
			a.T.Error("the leader was not to know")
		}
		a.Await("the other one to lead", func() bool { return a.Leader() != nil && a.Leader() != leader })
		leader.Link.Heal()
		leader.Link.Reset()
		a.AwaitSettled()
	})
}

// A transfer whose request was lost with its etcd looks again, instead of waiting for what nobody will do.
func TestTransferInAnEtcdThatGoesBack(t *testing.T) {
	t.Parallel()
	sim.InArena(t, 5*time.Second, 2, func(a *sim.Arena) {
		a.StartAll()
		a.AwaitSettled()
		leader := a.Leader()
		leader.Link.CutDown() // it does not hear of the request
		client, _ := a.LockedClient("somebody", nil)
		l, err := locked.NewFromClient(client)
		a.NoError(err)
		answered := make(chan error, 1)
		go func() { answered <- l.Transfer(context.Background(), a.Path, "") }()
		time.Sleep(time.Second)
		a.GoBack(sim.Backup{}, 0)
		leader.Link.Heal()
		leader.Link.Reset()
		select {
		case err := <-answered:
			if err != nil && !errors.Is(err, locked.ErrNoLeader) && !errors.Is(err, locked.ErrNoCandidate) {
				a.T.Error(err)
			}
		case <-time.After(time.Minute):
			a.T.Error("the transfer waits for ever")
		}
		a.NoError(l.Close(context.Background()))
		a.AwaitSettled()
	})
}
