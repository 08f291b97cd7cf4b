package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/cluster"
)

const (
	startLimit  = time.Minute
	answerLimit = 10 * time.Second // of an etcd that is there
	quitLimit   = 5 * time.Second
)

// ErrUnreachable is that of a run with an etcd that does not answer.
var ErrUnreachable = errors.New("etcd does not answer")

// run is one in progress.
type run struct {
	Options
	*injector
	scratch     *cluster.Scratch
	links       []*cluster.Link    // that are not the cluster's
	members     []*clientv3.Client // of each member alone, over links without faults
	protocol    protocol
	unavailable map[string]string // kinds of faults that cannot be made here, and why

	history *History
	changes atomic.Int64
	ends    atomic.Pointer[context.CancelFunc] // of the faults that are being made
	phase   atomic.Pointer[string]

	mu      sync.Mutex
	leaders []Leadership
	probes  []Probe
	found   []Violation // while it goes on
	told    int         // how many of these
}

// Run makes faults for as long as it was told, and judges what happened. The error is that of a run that came to nothing.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{Options: o, injector: &injector{ttl: o.TTL}, protocol: lockedKeys{}, unavailable: map[string]string{}}
	if o.Against == AgainstConcurrency {
		r.protocol = concurrencyKeys{}
	}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	beside, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { r.watchLeaders(beside) })
	running.Go(func() { r.tell(beside) })
	for i, client := range r.members {
		running.Go(func() { probe(beside, i+1, client, r.probed) })
	}
	r.rounds(ctx)
	stop()
	running.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r.judge(ctx)
}

// open starts everything, and waits until each election has a leader.
func (r *run) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	r.say("starting etcd")
	if r.scratch, err = cluster.NewScratch("locked-chaos-"); err != nil {
		return err
	}
	if r.freezer, err = newFreezer(); err != nil {
		r.unavailable[kindFreeze] = err.Error()
	}
	paths, err := r.openEtcd(ctx)
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	r.history = &History{Prefix: fmt.Sprintf("/locked-chaos/%d/", time.Now().Unix()), Elections: r.Elections, TTL: r.TTL, Pinned: map[string][]int{}}
	answers, stop := context.WithTimeout(ctx, answerLimit)
	defer stop()
	at, err := r.client.Get(answers, r.history.Prefix)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	r.watched = observe(r.client, r.history.Prefix, r.Elections, at.Header.Revision+1, rand.New(rand.NewPCG(r.Seed, 1<<32)))
	r.processes = &processes{command: child.Command{Path: r.Program, Args: r.Candidate, Stderr: r.Stderr}, dir: r.scratch.Path, settings: candidateSettings{
		Prefix: r.history.Prefix, Elections: r.Elections, TTL: r.TTL, Against: r.Against, Break: r.Break,
	}}
	r.say("starting candidates")
	for i := range candidates {
		links, err := paths(i)
		if err != nil {
			return err
		}
		if err := r.processes.add(links); err != nil {
			return err
		}
		if len(links) < len(r.members) {
			r.history.Pinned[fmt.Sprintf("c%d", i+1)] = []int{links[0].Member + 1}
		}
	}
	if vacant := r.processes.awaitLeaders(ctx); len(vacant) > 0 {
		if err := r.processes.ended(); err != nil {
			return err
		}
		return fmt.Errorf("%d of %d elections had no leader within %v: is the machine very busy?", len(vacant), r.Elections, startLimit)
	}
	return nil
}

// openEtcd starts a cluster, or takes the one that is there. Paths makes the links of a candidate to the members that it
// knows: all, or only one, so that somebody depends on each member.
func (r *run) openEtcd(ctx context.Context) (paths func(candidate int) ([]*cluster.Link, error), err error) {
	var link func(member int) (*cluster.Link, error)
	size := len(r.Endpoints)
	if size > 0 {
		link = func(member int) (*cluster.Link, error) {
			l, err := cluster.NewLink(member, func() string { return r.Endpoints[member] })
			if err == nil {
				r.links = append(r.links, l)
			}
			return l, err
		}
	} else {
		size = members
		if r.cluster, err = r.startCluster(ctx); err != nil {
			return nil, err
		}
		link = r.cluster.Link
	}
	var endpoints []string
	for m := range size {
		l, err := link(m)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, l.Addr())
		client, err := dial(l.Addr())
		if err != nil {
			return nil, err
		}
		r.members = append(r.members, client)
	}
	r.client, err = dial(endpoints...)
	return func(candidate int) (links []*cluster.Link, err error) {
		for m := range size {
			if candidate >= candidates/2 && candidate%size != m {
				continue
			}
			l, err := link(m)
			if err != nil {
				return nil, err
			}
			links = append(links, l)
		}
		return links, nil
	}, err
}

func (r *run) startCluster(ctx context.Context) (*cluster.Cluster, error) {
	if r.Etcd != nil {
		return cluster.StartProgram(ctx, members, r.Etcd, 0)
	}
	return cluster.Start(ctx, members, child.Command{Path: r.Program, Args: r.Member, Stderr: r.Stderr}, 0)
}

func dial(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: time.Second})
}

func (r *run) probed(p Probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.probes) - 1; i >= 0 && i >= len(r.probes)-2*len(r.members); i-- {
		if r.probes[i].Member == p.Member && r.probes[i].From == p.From {
			r.probes[i] = p
			return
		}
	}
	r.probes = append(r.probes, p)
}

func (r *run) close() {
	if r.processes != nil {
		r.processes.kill()
	}
	if r.watched != nil {
		r.watched.close()
	}
	if r.client != nil && r.cluster == nil && r.processes != nil {
		r.sweep()
	}
	if r.client != nil {
		_ = r.client.Close() // nothing of it is needed any more
	}
	for _, client := range r.members {
		_ = client.Close()
	}
	for _, l := range r.links {
		l.Close()
	}
	if r.cluster != nil {
		_ = r.cluster.Close() // what could not be removed is in the temporary directory
	}
	if r.scratch != nil {
		_ = r.scratch.Remove() // or else the next run does
	}
}

// sweep removes what a run has left in a cluster that goes on.
func (r *run) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), quitLimit)
	defer cancel()
	_, _ = r.client.Delete(ctx, r.history.Prefix, clientv3.WithPrefix()) // what could not be removed harms nobody
}

// wanted says which kinds of faults are made.
func (r *run) wanted(kind string) bool {
	if _, no := r.unavailable[kind]; no {
		return false
	}
	if rule, ok := RuleNamed(r.Break); ok && !slices.Contains(rule.Exposing, kind) {
		return false
	}
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == kind })
	return r.cluster != nil || !Kinds[i].Members
}

// rounds makes faults until time is up, or a rule that was broken has been found out.
func (r *run) rounds(ctx context.Context) {
	begin := clock.Uptime()
	r.note(func(h *History) { h.Begin = begin })
	end := begin + r.Duration
	list := schedules(r.Seed, r.Elections, r.wanted)
	endings := slices.DeleteFunc([]string{kindCrash, kindBlackout}, func(kind string) bool { return !r.wanted(kind) })
	for n := 0; ctx.Err() == nil && clock.Uptime() < end && !r.foundOut(); n++ {
		r.say("making faults")
		// When it ends, all faults are healed at once.
		storm, ends := context.WithTimeout(ctx, min(round, max(time.Second, end-clock.Uptime())))
		r.ends.Store(&ends)
		var busy sync.WaitGroup
		for _, s := range list {
			busy.Go(func() { r.lane(storm, s) })
		}
		busy.Wait()
		ends()
		if r.foundOut() || ctx.Err() != nil {
			break
		}
		if len(endings) > 0 {
			r.killAll(ctx, endings[n%len(endings)])
		}
		r.calm(ctx)
	}
	r.note(func(h *History) { h.End = clock.Uptime() })
}

// note writes down what this process itself does.
func (r *run) note(f func(*History)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.history)
}

func (r *run) lane(ctx context.Context, s *schedule) {
	for ctx.Err() == nil && !r.foundOut() {
		p := s.next()
		if clock.Pause(ctx, p.wait); ctx.Err() == nil {
			r.do(ctx, p)
		}
	}
}

// calm waits until each election has a leader.
func (r *run) calm(ctx context.Context) {
	r.say("all is healed")
	c := Calmed{Begin: clock.Uptime()}
	limited, cancel := whileRunning(ctx, Calm(r.TTL))
	defer cancel()
	if c.Waiting = r.processes.awaitLeaders(limited); len(c.Waiting) == 0 {
		c.All = clock.Uptime()
	}
	c.End = clock.Uptime()
	r.note(func(h *History) { h.Calms = append(h.Calms, c) })
}

// whileRunning gives a context that ends after a time in which this process runs: that in which the machine holds everything
// up does not count.
func whileRunning(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	const step = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		tick := time.NewTicker(step)
		defer tick.Stop()
		for ; d > 0; d -= step {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

func (r *run) foundOut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rule, broken := RuleNamed(r.Break)
	return broken && slices.ContainsFunc(r.found, rule.shownBy)
}

// watchLeaders notes who leads etcd, and counts leader changes.
func (r *run) watchLeaders(ctx context.Context) {
	var last uint64
	tokens := make([]int64, r.Elections)
	for tick := 0; ctx.Err() == nil; tick++ {
		if r.cluster != nil && tick%5 == 0 {
			if index, term := r.cluster.Leader(ctx); index >= 0 && term > last {
				last = term
				r.mu.Lock()
				r.leaders = append(r.leaders, Leadership{clock.Uptime(), memberName(index), term})
				r.mu.Unlock()
			}
		}
		for e := range tokens {
			if c := r.processes.leader(e); c != nil {
				if t := c.token(e); t > tokens[e] {
					tokens[e] = t
					r.changes.Add(1)
				}
			}
		}
		clock.Pause(ctx, 50*time.Millisecond)
	}
}

func (r *process) token(election int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	token, _, _ := r.board.belief(election)
	return token
}

// record puts together all that was written down so far.
func (r *run) record() (*History, error) {
	r.mu.Lock()
	h := *r.history
	h.Calms = slices.Clone(h.Calms)
	h.Leaders, h.Probes = slices.Clone(r.leaders), slices.Clone(r.probes)
	r.mu.Unlock()
	var err error
	if h.Beliefs, h.Writes, err = r.processes.collect(); err != nil {
		return nil, err
	}
	var lost error
	h.Changes, h.Reads, lost = r.watched.collect()
	h.Faults = r.list()
	if lost != nil {
		return &h, errors.Join(errHistory, lost)
	}
	return &h, nil
}

var errHistory = errors.New("etcd compacted what had not been seen yet")

// judge ends the candidates, and checks everything.
func (r *run) judge(ctx context.Context) (*Result, error) {
	r.say("checking")
	r.report()
	early := r.processes.ended()
	r.processes.quit(quitLimit)
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := r.watched.complete(limited); err != nil {
		return nil, fmt.Errorf("reading the history of etcd: %w", err)
	}
	h, err := r.record()
	if err != nil {
		return nil, err
	}
	found := h.check(r.protocol)
	if early != nil {
		found = append(found, Violation{Promise: recovers, Text: early.Error()})
	}
	return newResult(r.Options, h, r.protocol, found, r.unavailable), nil
}
