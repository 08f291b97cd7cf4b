// Package systems has everything that elects a leader and is measured here, behind one interface, and the stores that they
// stand on.
package systems

import (
	"context"
	"errors"
	"slices"
	"time"
)

// System is a way to elect a leader.
type System struct {
	Name  string
	Store string // name of the store that it stands on
	Dial  func(ctx context.Context, endpoint string, ttl time.Duration) (Client, error)
	Unfit map[string]string // rows that make no sense for it, and why
}

// Client is the connection of one process.
type Client interface {
	// Candidate gives one that competes at a path; nothing is sent before it campaigns.
	Candidate(path, id string) (Candidate, error)
	// Observe tells the id of each leader of the path, in a goroutine of its own, until ctx ends. It returns once nothing
	// that comes will be missed.
	Observe(ctx context.Context, path string, told func(id string)) error
	// Close gives up what is led, as the system's manual tells to at the end of a process.
	Close() error
}

// Candidate is one competitor.
type Candidate interface {
	Campaign(ctx context.Context) error // returns when it is elected
	Resign(ctx context.Context) error
}

// Floor is the least that a store needs to tell somebody something.
type Floor interface {
	Put(ctx context.Context) error  // one committed write
	Hear(ctx context.Context) error // its arrival at somebody who waits for it
	Close() error
}

// Store is a database that elections stand on.
type Store struct {
	Name  string
	Env   string // variable that has its HOST:PORT; empty: it is started by the measurement itself
	Floor func(ctx context.Context, endpoint string) (Floor, error)
}

// ErrUnsupported says that a system has no such thing.
var ErrUnsupported = errors.New("the system has no such thing")

// Locked is the name of the system that all others are compared with.
const Locked = "locked"

// All are the systems, ours first.
var All = []*System{
	lockedSystem, etcdElection, etcdctl, zookeeperLock, redisRueidis, redisRedsync, natsKV, postgresLock,
}

// Stores are what they stand on.
var Stores = []*Store{etcdStore, zookeeperStore, redisStore, natsStore, postgresStore}

// StoreOf finds a store by its name.
func StoreOf(name string) *Store {
	return Stores[slices.IndexFunc(Stores, func(s *Store) bool { return s.Name == name })]
}

// Find gives the system with that name, nil if there is none.
func Find(name string) *System {
	if name == EtcdWatch.Name {
		return EtcdWatch
	}
	for _, s := range All {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Heed runs what takes no context. When ctx ends it is left to itself: some libraries wait for what never comes.
func Heed(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// without is for clients of systems that have no observers.
type without struct{}

func (without) Observe(context.Context, string, func(string)) error { return ErrUnsupported }
