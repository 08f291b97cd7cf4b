//go:build linux

package test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/faultproxy"
	"github.com/samcday/locked/test/sim"
)

// Law 2 while a member of etcd is stopped. An etcd leader that was stopped does not know, when it goes on, that there is a
// new one: it acknowledges renewals that do not count any more, and it has leases revoked that were renewed meanwhile.
//
//	go test -run TestLaw2EtcdLeader -rounds 20 -v
//	go test -run TestLaw2EtcdLeader -rounds 5 -v -against concurrency

var (
	rounds  = flag.Int("rounds", 1, "how often the tests with processes stop one")
	against = flag.String("against", "", `"concurrency": show what etcd's own Election does in these tests`)
)

const pausedTTL = 3 * time.Second

// leaderFault is what happens to the etcd leader: it is stopped for a while, and cut off from its peers from then until
// some time after it went on.
type leaderFault struct {
	pause, cutOff time.Duration
}

// holder is one who believes to hold a term, or does not.
type holder struct {
	name   string
	group  string       // by the members that it reaches etcd through
	prefix string       // of a key that exists, with CreateRevision token, as long as the belief is right
	token  func() int64 // 0 if it does not believe
	// Of the first holder of a Locker: how many beliefs of the Locker ended because a key was gone. They were wrong before,
	// if only until a watch told, which is too short for the witness to see it each time.
	surprised func() int64
}

// An etcd leader that was merely stopped, for longer than the TTL.
func TestLaw2EtcdLeaderPaused(t *testing.T) {
	t.Parallel()
	testLeaderFaults(t, leaderFault{pause: pausedTTL + 2500*time.Millisecond})
}

// An etcd leader that cannot reach its peers when it goes on, while clients reach it. In every second round that is before
// the leases of those who know no other member have run out.
func TestLaw2EtcdLeaderPausedAndCutOff(t *testing.T) {
	t.Parallel()
	testLeaderFaults(t,
		leaderFault{pause: pausedTTL - 600*time.Millisecond, cutOff: 4 * time.Second},
		leaderFault{pause: pausedTTL + 2500*time.Millisecond, cutOff: 4 * time.Second})
}

func testLeaderFaults(t *testing.T, faults ...leaderFault) {
	notShort(t)
	c := startCluster(t)
	total := newTally()
	for i, tries := 0, 0; i < *rounds*len(faults); tries++ {
		fault := faults[i%len(faults)]
		result, changed := faultRound(c, tries, fault)
		if changed {
			i++
		} else if t.Log("etcd did not change its leader: the next round has shown nothing"); tries == 5**rounds*len(faults) {
			t.Fatal("etcd hardly ever changes its leader")
		}
		t.Logf("round %d, stopped for %v, cut off for %v: %v", i, fault.pause, fault.cutOff, result)
		total.add(result)
	}
	t.Logf("in all: %v", total)
	if *against == "" && (total.wrong > 0 || total.surprised > 0) {
		t.Errorf("law 2: %d beliefs in a term that had ended were seen, %d ended because the key was gone", total.wrong, total.surprised)
	}
}

// faultRound has twenty holders of terms of their own, most of which reach etcd through members that are not stopped. It
// reports whether etcd changed its leader: it need not, if the machine held the others up while that one was stopped.
func faultRound(c *etcdCluster, round int, fault leaderFault) (result *tally, changed bool) {
	victim, term := c.leader()
	holders, stop := hold(c, victim, fmt.Sprintf("/round%d/", round))
	defer stop()
	w := newWitness(c, victim, holders)
	w.begin()
	defer w.end()
	eventually(c.t, "all terms were seen", func() bool { return w.seen.Load() == int64(len(holders)) })
	time.Sleep(pausedTTL/2 + rand.N(pausedTTL)) // in which each lease is renewed
	strike(c, victim, fault)
	eventually(c.t, "everybody holds a term again", func() bool {
		return !slices.ContainsFunc(holders, func(h *holder) bool { return h.token() == 0 })
	})
	_, now := c.leader()
	return w.end(), now != term
}

// strike does to the etcd leader what the fault says, and goes on until every lease has shown whether it lives.
func strike(c *etcdCluster, victim int, fault leaderFault) {
	m := c.Members[victim].Process()
	m.Pause()
	heal := func() {}
	if fault.cutOff > 0 {
		heal = faultproxy.Shut(c.Mesh.Around(victim, true, true)...)
	}
	time.Sleep(fault.pause)
	m.Resume()
	time.Sleep(fault.cutOff)
	heal()
	time.Sleep(pausedTTL)
}

// hold starts lockers, or sessions of etcd's own, with two holders each, and waits until all of these hold a term. Their
// leases are renewed at different times.
func hold(c *etcdCluster, victim int, prefix string) (holders []*holder, stop func()) {
	c.t.Helper()
	others, all := c.endpoints(victim), c.endpoints(-1)
	var stops []func()
	for i, group := range []string{"one", "other", "all", "one", "other", "victim", "one", "other", "all", "one"} {
		endpoints := map[string][]string{
			"one": others[:1], "other": others[1:], "all": all, "victim": {c.Members[victim].Addr()},
		}[group]
		start := holdTerms
		if *against == "concurrency" {
			start = holdElections
		}
		names := []string{fmt.Sprintf("%s%da", prefix, i), fmt.Sprintf("%s%db", prefix, i)}
		some, stop := start(c, endpoints, names)
		for _, h := range some {
			h.group = group
		}
		holders, stops = append(holders, some...), append(stops, stop)
		time.Sleep(rand.N(pausedTTL / 15))
	}
	eventually(c.t, "everybody holds a term", func() bool {
		return !slices.ContainsFunc(holders, func(h *holder) bool { return h.token() == 0 })
	})
	return holders, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// holdTerms has nodes of one Locker hold terms.
func holdTerms(c *etcdCluster, endpoints, paths []string) (holders []*holder, stop func()) {
	c.t.Helper()
	l, err := locked.New(strings.Join(endpoints, ","), testOptions()...)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range paths {
		n := candidateFor(c.t, l, path, "n", pausedTTL)
		start(c.t, n)
		holders = append(holders, &holder{name: path, prefix: election.TermPrefix(path), token: n.Token})
	}
	holders[0].surprised = func() int64 { return l.Stats().Ends["removed"] }
	return holders, func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			c.t.Error("close:", err)
		}
	}
}

// holdElections has elections of etcd's own hold terms as its documentation shows: campaign, lead until the session is
// done, begin again.
func holdElections(c *etcdCluster, endpoints, paths []string) (holders []*holder, stop func()) {
	client := dial(c.t, clientv3.Config{Endpoints: endpoints})
	ctx, cancel := context.WithCancel(c.t.Context())
	var campaigns sync.WaitGroup
	for _, path := range paths {
		var token atomic.Int64
		campaigns.Go(func() {
			for ctx.Err() == nil {
				campaignOnce(ctx, client, path, &token)
			}
		})
		holders = append(holders, &holder{name: path, prefix: path + "/", token: token.Load})
	}
	return holders, func() {
		cancel()
		campaigns.Wait()
	}
}

func campaignOnce(ctx context.Context, client *clientv3.Client, path string, token *atomic.Int64) {
	s, err := concurrency.NewSession(client, concurrency.WithTTL(int(pausedTTL/time.Second)), concurrency.WithContext(ctx))
	if err != nil {
		sim.Sleep(ctx, 100*time.Millisecond)
		return
	}
	defer s.Orphan()
	limited, cancel := context.WithTimeout(ctx, pausedTTL)
	defer cancel()
	if e := concurrency.NewElection(s, path); e.Campaign(limited, "n") == nil {
		token.Store(e.Rev())
		<-s.Done()
		token.Store(0)
	}
}

// witness compares what holders believe with what etcd knows, by linearizable reads through members that are not stopped.
type witness struct {
	t       testing.TB
	client  *clientv3.Client
	holders []*holder
	sights  map[*holder]*sight
	tally   *tally
	seen    atomic.Int64 // how many held terms were found in etcd by the last read
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// sight is what was last seen of a holder.
type sight struct {
	token int64
	lease int64     // that its key is on
	since time.Time // when the token was first seen
	wrong time.Time // since when the belief is known to be wrong
}

func newWitness(c *etcdCluster, victim int, holders []*holder) *witness {
	w := &witness{
		t: c.t, client: dial(c.t, clientv3.Config{Endpoints: c.endpoints(victim)}),
		holders: holders, sights: map[*holder]*sight{}, tally: newTally(),
	}
	for _, h := range holders {
		w.sights[h] = &sight{since: time.Now()}
	}
	return w
}

func (w *witness) begin() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel = cancel
	w.done.Go(func() {
		for ctx.Err() == nil {
			w.look(ctx)
			sim.Sleep(ctx, 5*time.Millisecond)
		}
	})
}

func (w *witness) end() *tally {
	w.cancel()
	w.done.Wait()
	w.tally.surprised = 0
	for _, h := range w.holders {
		if h.surprised != nil {
			w.tally.surprised += h.surprised()
		}
	}
	return w.tally
}

// look reads all keys once. A belief is wrong if it was held before the read and is still held after it, and its key was
// not there.
func (w *witness) look(ctx context.Context) {
	before := make([]int64, len(w.holders))
	for i, h := range w.holders {
		before[i] = h.token()
	}
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	keys, err := w.client.Get(limited, "/", clientv3.WithPrefix())
	if err != nil {
		return // etcd elects a leader
	}
	w.tally.reads++
	seen := int64(0)
	for i, h := range w.holders {
		s := w.sights[h]
		if before[i] != s.token {
			w.changed(h, s, before[i])
		}
		if before[i] == 0 {
			w.tally.gap = max(w.tally.gap, time.Since(s.since))
			continue
		}
		if lease, ok := leaseOf(keys, h.prefix, before[i]); ok {
			w.onLease(s, lease)
			seen++
		} else if h.token() == before[i] {
			w.wrong(h, s)
		}
	}
	w.seen.Store(seen)
}

// leaseOf looks for the key of a term, and gives the lease that it is on.
func leaseOf(keys *clientv3.GetResponse, prefix string, token int64) (lease int64, ok bool) {
	for _, kv := range keys.Kvs {
		if kv.CreateRevision == token && strings.HasPrefix(string(kv.Key), prefix) {
			return kv.Lease, true
		}
	}
	return 0, false
}

func (w *witness) changed(h *holder, s *sight, token int64) {
	if s.token != 0 {
		w.tally.lost[h.group]++
	}
	*s = sight{token: token, since: time.Now()}
}

func (w *witness) onLease(s *sight, lease int64) {
	if s.lease != 0 && s.lease != lease {
		w.tally.moved++
	}
	s.lease = lease
}

func (w *witness) wrong(h *holder, s *sight) {
	if s.wrong.IsZero() {
		s.wrong = time.Now()
		w.tally.wrong++
		w.t.Logf("%s, through %s, believes in a term that has ended (token %d)", h.name, h.group, s.token)
	}
	w.tally.longest = max(w.tally.longest, time.Since(s.wrong))
}

// tally counts what was seen.
type tally struct {
	reads     int
	wrong     int            // beliefs in a term that had ended
	longest   time.Duration  // of these, at least
	surprised int64          // beliefs that ended because a key was gone
	lost      map[string]int // terms, by group
	gap       time.Duration  // the longest time that somebody was without a term
	moved     int            // terms to another lease
}

func newTally() *tally { return &tally{lost: map[string]int{}} }

func (t *tally) add(other *tally) {
	t.reads += other.reads
	t.wrong += other.wrong
	t.surprised += other.surprised
	t.longest = max(t.longest, other.longest)
	t.gap = max(t.gap, other.gap)
	t.moved += other.moved
	for group, n := range other.lost {
		t.lost[group] += n
	}
}

func (t *tally) String() string {
	var lost []string
	for _, group := range slices.Sorted(maps.Keys(t.lost)) {
		lost = append(lost, fmt.Sprintf("%d through %s", t.lost[group], group))
	}
	return fmt.Sprintf("%d false beliefs (longest at least %v), %d ended by surprise, %d moves to another lease, terms lost: %v (without one for up to %v), in %d reads",
		t.wrong, t.longest.Round(time.Millisecond), t.surprised, t.moved, lost, t.gap.Round(time.Millisecond), t.reads)
}
