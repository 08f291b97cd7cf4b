package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/samcday/locked/bench/systems"
)

// contender is a system in a scenario, with the store that it runs on.
type contender struct {
	*systems.System
	endpoint string
	floor    systems.Floor
}

// contenders starts an etcd, and gives the systems that the scenario makes sense for and whose stores are there.
func (b *bench) contenders(ctx context.Context) (*etcd, []*contender, error) {
	e, err := b.etcd(ctx)
	if err != nil {
		return nil, nil, err
	}
	var all []*contender
	for _, s := range b.systems {
		if c := b.contender(ctx, s, e); c != nil {
			all = append(all, c)
		}
	}
	return e, all, nil
}

// contender gives one system, or nil and notes why not.
func (b *bench) contender(ctx context.Context, s *systems.System, etcd *etcd) *contender {
	if why := s.Unfit[b.current.name]; why != "" {
		b.note(s, why)
		return nil
	}
	store := systems.StoreOf(s.Store)
	endpoint := b.endpoint(store, etcd)
	if endpoint == "" {
		b.note(s, "missing: start it with peers.sh")
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := s.Dial(limited, endpoint, latencyTTL)
	if err != nil {
		b.note(s, "missing: "+err.Error())
		return nil
	}
	atMost(closing, func() { c.Close() })
	f, err := store.Floor(limited, endpoint)
	if err != nil {
		b.bear(s, fmt.Errorf("the floor of %s: %w", store.Name, err))
		return nil
	}
	b.cleanup(func() { f.Close() })
	return &contender{s, endpoint, f}
}

// prepared gives those that could be prepared, each for a while at most. The others have failed.
func (b *bench) prepared(ctx context.Context, all []*contender, f func(context.Context, *contender) error) (ready []*contender) {
	for _, c := range all {
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		if err := f(limited, c); err != nil {
			b.bear(c.System, err)
		} else {
			ready = append(ready, c)
		}
		cancel()
	}
	return ready
}

// note says why a system has no figures in those rows of the scenario that were not measured.
func (b *bench) note(s *systems.System, why string) {
	for _, r := range b.current.rows {
		if b.results.find(r.key, s.Name) == nil {
			b.results.set(r, s.Name, nil, nil, why)
		}
	}
}

// bear notes that a system has failed, which ends nothing.
func (b *bench) bear(s *systems.System, err error) {
	b.note(s, "failed: "+err.Error())
	b.count(s, err)
}

// count keeps a failure of locked for the end: that is an error of the run, that a peer fails is a result.
func (b *bench) count(s *systems.System, err error) {
	if s.Name == systems.Locked {
		b.failures = append(b.failures, fmt.Errorf("%s: %w", b.current.name, err))
	}
}

// none is note for some rows.
func (b *bench) none(c *contender, why string, keys ...string) {
	for _, key := range keys {
		b.results.set(b.row(key), c.Name, nil, nil, why)
	}
}

// scalar keeps the samples, or the one number, of a row.
func (b *bench) scalar(c *contender, key string, samples ...float64) {
	b.results.set(b.row(key), c.Name, samples, nil, "")
}

// row finds one of the scenario's.
func (b *bench) row(key string) row {
	for _, r := range b.current.rows {
		if r.key == key {
			return r
		}
	}
	panic("no row " + key)
}

// path names an election of this system, below a number if one is given. (Two systems on one etcd must not meet.)
func (c *contender) path(scenario string, n ...int) string {
	path := "/" + strings.ReplaceAll(c.Name, " ", "-") + "/" + scenario
	for _, i := range n {
		path += "/" + strconv.Itoa(i)
	}
	return path
}
