package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/testhook"
)

// Member is one process.
type Member struct {
	a      *Arena
	Name   string
	Locker *locked.Locker
	Link   *Link
	Clock  *Clock
	Loop   testhook.Loop
	Node   *locked.Node
	Dead   bool

	mu     sync.Mutex
	events []locked.Event
}

// Join adds a member, with a node that is not started.
func (a *Arena) Join(id string, cfg locked.NodeConfig) *Member {
	a.T.Helper()
	m := &Member{a: a, Name: id, Clock: a.Clock()}
	var err error
	hooks := testhook.Hooks{Clock: m.Clock, DirectLog: true, Loop: func(l testhook.Loop) { m.Loop = l }}
	client, link := a.LockedClient(fmt.Sprintf("%s-%d", id, len(a.Members)), func(cfg *clientv3.Config) {
		cfg.Context = testhook.With(context.Background(), hooks)
		if a.Config != nil {
			a.Config(cfg)
		}
	})
	m.Link = link
	m.Locker, err = locked.NewFromClient(client, locked.WithLogger(slog.New(&beliefLog{a: a})))
	a.NoError(err)
	cfg.ID, cfg.TTL = id, a.TTL
	if cfg.Value == "" {
		cfg.Value = "v"
	}
	m.Node, err = m.Locker.Node(a.Path, cfg)
	a.NoError(err)
	go m.listen(m.Node.Events(context.Background()))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Members = append(a.Members, m)
	return m
}

// LockedClient is a client as locked.New makes it, but for what a function changes, if there is one.
func (s *Sim) LockedClient(name string, changed func(*clientv3.Config)) (*clientv3.Client, *Link) {
	ours, err := etcd.Config("simulated:1", locked.DefaultRequestTimeout) // which the simulation's own takes the place of
	s.NoError(err)
	return s.Client(name, func(cfg *clientv3.Config) {
		cfg.DialKeepAliveTime, cfg.DialKeepAliveTimeout = ours.DialKeepAliveTime, ours.DialKeepAliveTimeout
		cfg.DialOptions = append(cfg.DialOptions, ours.DialOptions...)
		if changed != nil {
			changed(cfg)
		}
	})
}

func (m *Member) listen(events <-chan locked.Event) {
	for e := range events {
		m.mu.Lock()
		m.events = append(m.events, e)
		m.mu.Unlock()
	}
}

// Heard are the events that its node has told so far.
func (m *Member) Heard() []locked.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Start starts the node.
func (m *Member) Start() {
	m.a.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Node.Start(ctx); err != nil {
		m.a.T.Fatalf("at %v: %v", m.a.Now(), err)
	}
}

// Stop stops the node.
func (m *Member) Stop() {
	m.a.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := m.Node.Stop(ctx); err != nil {
		m.a.T.Errorf("at %v: %v", m.a.Now(), err)
	}
}

// Die ends the member as a crash would: nothing of it reaches etcd any more.
func (m *Member) Die() {
	m.Dead = true
	m.Link.Sever()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Locker.Close(ctx)
}

// Transfer asks for the next in the queue to lead, whatever comes of it in a TTL.
func (m *Member) Transfer() {
	ctx, cancel := context.WithTimeout(context.Background(), m.a.TTL)
	defer cancel()
	_ = m.Locker.Transfer(ctx, m.a.Path, "")
}

// Bounce stops the node and starts it again, whatever of that succeeds in time.
func (m *Member) Bounce() {
	ctx, cancel := context.WithTimeout(context.Background(), m.a.TTL)
	defer cancel()
	_ = m.Node.Stop(ctx)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), m.a.TTL)
		err := m.Node.Start(ctx)
		cancel()
		if err == nil || errors.Is(err, locked.ErrStarted) || errors.Is(err, locked.ErrClosed) {
			return
		}
	}
}

// StandStill holds the member's loop up, and notes when it stops believing, which the loop cannot tell.
func (m *Member) StandStill(d time.Duration) {
	going := make(chan struct{})
	m.Loop(func() {
		time.Sleep(d)
		close(going)
	})
	for tick := time.Millisecond; ; time.Sleep(tick) {
		select {
		case <-going:
			return
		default:
		}
		if !m.Node.IsSelected() {
			m.a.Beliefs.Lose(m.Name)
		}
	}
}
