package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/samcday/locked/bench/systems"
)

// scenario is a thing to do with every system, and the rows that come of it.
type scenario struct {
	name string
	rows []row
	run  func(ctx context.Context, b *bench) error
}

// row is a line of the table.
type row struct {
	key   string
	title string
	unit  unit
	floor string // what floor stands for in this row, if it has one
}

const (
	aPut     = "one put"
	aHearing = "one put and its notification"
)

// scenarios are all that is measured, in the order of the table.
var scenarios = []*scenario{
	{"cold", []row{{"cold", "cold start: connect, be elected", seconds, aHearing}}, cold},
	{"warm", []row{{"warm", "elected, connection and session there", seconds, aPut}}, warm},
	{"handover", []row{
		{"handover-settled", "handover, the successor has waited", seconds, aHearing},
		{"handover-fresh", "handover, the successor has just come", seconds, aHearing},
	}, handover},
	{"death", []row{{"death", "failover, a process is killed (TTL 3 s)", seconds, ""}}, death},
	{"silence", []row{{"silence", "failover, a machine falls silent (TTL 3 s)", seconds, ""}}, silence},
	{"question", []row{{"question", "the question whether a node leads, processor time", seconds, "a reading of CLOCK_BOOTTIME"}}, question},
	{"observers", []row{
		{"observers-1", "1 observer is told", seconds, "etcd's watch, as many times"},
		{"observers-100", "100 observers are told", seconds, "etcd's watch, as many times"},
		{"observers-10000", "10,000 observers are told", seconds, "etcd's watch, as many times"},
		{"observers-apart", "500 observers with a connection each are told", seconds, "etcd's watch, as many times"},
	}, observers},
	{"scale", []row{
		{"scale-lead-memory", "%scale elections led by a process: memory each", memory, ""},
		{"scale-lead-goroutines", "… goroutines each", count, ""},
		{"scale-wait-memory", "%scale candidates waiting in another: memory each", memory, ""},
		{"scale-wait-goroutines", "… goroutines each, one of them the caller's", count, ""},
		{"scale-enter", "… time for all to be elected", seconds, ""},
		{"scale-commits", "… commits per election entered and joined", count, ""},
		{"scale-idle-requests", "… idle: requests to etcd per second", rate, ""},
		{"scale-idle-cpu", "… idle: CPU of both processes and etcd", percent, ""},
		{"scale-close", "… the leader closes: until all are led elsewhere", seconds, ""},
		{"scale-gaps", "… paths that were seen empty meanwhile", count, ""},
	}, scale},
	{"crowd", []row{
		{"crowd-handover", "%crowd candidates for a path: handover", seconds, aHearing},
		{"crowd-commits", "… commits per handover", count, ""},
		{"crowd-crash", "… the leader's process is killed (TTL 3 s)", seconds, ""},
		{"crowd-crash-commits", "… commits per crash", count, ""},
	}, crowd},
	{"churn", []row{
		{"churn-rate", "starts and stops per second", rate, ""},
		{"churn-start", "… a start", seconds, ""},
		{"churn-leak-memory", "… memory that is left, of all", memory, ""},
		{"churn-leak-goroutines", "… goroutines that are left, of all", count, ""},
		{"churn-leak-keys", "… keys that are left, of all", count, ""},
	}, churn},
	{"many", []row{
		{"many-enter", "%many elections led by a process: time to be elected", seconds, ""},
		{"many-memory", "… memory each", memory, ""},
		{"many-close", "… time to close", seconds, ""},
	}, many},
}

// sizes are the numbers in the titles: of a full run, and of a quick one.
var sizes = map[string][2]int{"%scale": {10_000, 1000}, "%crowd": {1000, 100}, "%many": {100_000, 5000}}

// called is the title with its number.
func (r row) called(quick bool) string {
	for name, size := range sizes {
		n := size[0]
		if quick {
			n = size[1]
		}
		printed := fmt.Sprint(n)
		if n >= 1000 {
			printed = fmt.Sprintf("%d,%03d", n/1000, n%1000)
		}
		if after, ok := strings.CutPrefix(r.title, name); ok {
			return printed + after
		}
	}
	return r.title
}

// size is how many there are of something in a scenario.
func (b *bench) size(name string) int { return b.pick(sizes[name][0], sizes[name][1]) }

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func findScenario(name string) *scenario {
	i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return scenarios[i]
}

// contender is a system in a scenario, with the store that it runs on.
type contender struct {
	*systems.System
	endpoint string
	floor    systems.Floor
}

// contenders gives the systems that the scenario makes sense for and whose stores are there. The etcd is the scenario's.
func (b *bench) contenders(ctx context.Context, etcd *etcd) ([]*contender, error) {
	var all []*contender
	for _, s := range b.systems {
		c, err := b.contender(ctx, s, etcd)
		if err != nil {
			return nil, err
		}
		if c != nil {
			all = append(all, c)
		}
	}
	return all, nil
}

// contender gives one system, or nil and notes why not.
func (b *bench) contender(ctx context.Context, s *systems.System, etcd *etcd) (*contender, error) {
	if why := s.Unfit[b.current.name]; why != "" {
		b.note(s, why)
		return nil, nil
	}
	store := systems.StoreOf(s.Store)
	endpoint := b.endpoint(store, etcd)
	if endpoint == "" {
		b.note(s, "missing: start it with peers.sh")
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := s.Dial(limited, endpoint, latencyTTL)
	if err != nil {
		b.note(s, "missing: "+err.Error())
		return nil, nil
	}
	c.Close()
	f, err := store.Floor(limited, endpoint)
	if err != nil {
		return nil, b.bear(s, fmt.Errorf("the floor of %s: %w", store.Name, err))
	}
	b.cleanup(func() { f.Close() })
	return &contender{s, endpoint, f}, nil
}

// note says why a system has no figures in the rows of the scenario.
func (b *bench) note(s *systems.System, why string) {
	for _, r := range b.current.rows {
		b.results.set(r, s.Name, nil, nil, why)
	}
}

// bear notes that a system has failed, which ends nothing; that locked does is told.
func (b *bench) bear(s *systems.System, err error) error {
	if s.Name == systems.Locked {
		return err
	}
	b.note(s, "failed: "+err.Error())
	return nil
}

// noteRest says why a system has no figures in those rows that were not measured.
func (b *bench) noteRest(s *systems.System, why string) {
	for _, r := range b.current.rows {
		if b.results.find(r.key, s.Name) == nil {
			b.results.set(r, s.Name, nil, nil, why)
		}
	}
}

// none is noteRest for some rows.
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

// timed is how long f takes, in seconds.
func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// hearing is one put and its notification.
func hearing(ctx context.Context, f systems.Floor) error {
	if err := f.Put(ctx); err != nil {
		return err
	}
	return f.Hear(ctx)
}

// path names an election of this system, below a number if one is given. (Two systems on one etcd must not meet.)
func (c *contender) path(scenario string, n ...int) string {
	path := "/" + strings.ReplaceAll(c.Name, " ", "-") + "/" + scenario
	for _, i := range n {
		path += "/" + strconv.Itoa(i)
	}
	return path
}
