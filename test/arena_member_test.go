package test

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

// member is one process.
type member struct {
	a      *arena
	name   string
	locker *locked.Locker
	link   *link
	clock  *simClock
	loop   testhook.Loop
	node   *locked.Node
	dead   bool

	mu     sync.Mutex
	events []locked.Event
}

// join adds a member, with a node that is not started.
func (a *arena) join(id string, cfg locked.NodeConfig) *member {
	a.t.Helper()
	m := &member{a: a, name: id, clock: a.clock()}
	var err error
	hooks := testhook.Hooks{Clock: m.clock, DirectLog: true, Loop: func(l testhook.Loop) { m.loop = l }}
	client, link := a.ourClient(fmt.Sprintf("%s-%d", id, len(a.members)), func(cfg *clientv3.Config) {
		cfg.Context = testhook.With(context.Background(), hooks)
		if a.config != nil {
			a.config(cfg)
		}
	})
	m.link = link
	m.locker, err = locked.NewFromClient(client, locked.WithLogger(slog.New(&beliefLog{a: a})))
	a.noError(err)
	cfg.ID, cfg.TTL = id, a.ttl
	if cfg.Value == "" {
		cfg.Value = "v"
	}
	m.node, err = m.locker.Node(a.path, cfg)
	a.noError(err)
	go m.listen(m.node.Events(context.Background()))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = append(a.members, m)
	return m
}

// ourClient is a client as New makes it, but for what a function changes, if there is one.
func (s *sim) ourClient(name string, changed func(*clientv3.Config)) (*clientv3.Client, *link) {
	ours, err := etcd.Config("simulated:1", locked.DefaultRequestTimeout) // which the simulation's own takes the place of
	s.noError(err)
	return s.client(name, func(cfg *clientv3.Config) {
		cfg.DialKeepAliveTime, cfg.DialKeepAliveTimeout = ours.DialKeepAliveTime, ours.DialKeepAliveTimeout
		cfg.DialOptions = append(cfg.DialOptions, ours.DialOptions...)
		if changed != nil {
			changed(cfg)
		}
	})
}

func (m *member) listen(events <-chan locked.Event) {
	for e := range events {
		m.mu.Lock()
		m.events = append(m.events, e)
		m.mu.Unlock()
	}
}

func (m *member) heard() []locked.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

func (m *member) start() {
	m.a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.node.Start(ctx); err != nil {
		m.a.t.Fatalf("at %v: %v", m.a.now(), err)
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

// die ends the member as a crash would: nothing of it reaches etcd any more.
func (m *member) die() {
	m.dead = true
	m.link.sever()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.locker.Close(ctx)
}

func (m *member) transfer() {
	ctx, cancel := context.WithTimeout(context.Background(), m.a.ttl)
	defer cancel()
	_ = m.locker.Transfer(ctx, m.a.path, "")
}

// bounce stops the node and starts it again, whatever of that succeeds in time.
func (m *member) bounce() {
	ctx, cancel := context.WithTimeout(context.Background(), m.a.ttl)
	defer cancel()
	_ = m.node.Stop(ctx)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), m.a.ttl)
		err := m.node.Start(ctx)
		cancel()
		if err == nil || errors.Is(err, locked.ErrStarted) || errors.Is(err, locked.ErrClosed) {
			return
		}
	}
}

// standStill holds the member's loop up, and notes when it stops believing, which the loop cannot tell.
func (m *member) standStill(d time.Duration) {
	going := make(chan struct{})
	m.loop(func() {
		time.Sleep(d)
		close(going)
	})
	for tick := time.Millisecond; ; time.Sleep(tick) {
		select {
		case <-going:
			return
		default:
		}
		if !m.node.IsSelected() {
			m.a.beliefs.lose(m.name)
		}
	}
}
