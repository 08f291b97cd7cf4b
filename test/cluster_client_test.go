//go:build linux

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// A client process that is stopped for longer than its TTL while it leads.

const stoppedTTL = 2 * time.Second

// clientSettings are the settings of the role "client".
type clientSettings struct{ Endpoint, Path, Key string }

// report is a line that the client writes. Its time is of the clock that counts suspends, which is the same for all
// processes, and was read before what it reports on.
type report struct {
	At       time.Duration
	What     string // "asked", "wrote", "ended", "deselected"
	Selected bool   // of asked: what IsSelected said
	Token    int64  // of the term
	Error    string // of wrote: why it failed
}

// runClient is the role "client": it competes, and reports all the time what it believes. While it leads it writes its
// token to a key through its term, and it goes on with that until a write that was begun after the term was refused.
func runClient() error {
	var s clientSettings
	ctx, cancel := context.WithCancel(context.Background())
	if err := readSettings(&s, cancel); err != nil {
		return err
	}
	l, err := locked.New(s.Endpoint, testOptions()...)
	if err != nil {
		return err
	}
	n, err := l.Node(s.Path, locked.NodeConfig{ID: "client", Value: "v", TTL: stoppedTTL})
	if err != nil {
		return err
	}
	r := &reporter{out: json.NewEncoder(os.Stdout)}
	go r.ask(n)
	go r.listen(n.Events(ctx))
	if err := n.Lead(ctx, func(ctx context.Context, term *locked.Term) error { return r.work(ctx, term, s.Key) }); err != context.Canceled {
		return err
	}
	return l.Close(context.Background())
}

type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (r *reporter) write(line report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Encode(line)
}

// ask reports on the node as long as the process lives.
func (r *reporter) ask(n *locked.Node) {
	for {
		line := report{At: clock.System{}.Now(), What: "asked"}
		line.Selected = n.IsSelected()
		r.write(line)
		time.Sleep(time.Millisecond)
	}
}

// listen reports when, by its event, a term has ended.
func (r *reporter) listen(events <-chan locked.Event) {
	for e := range events {
		if e.Kind == locked.EventDeselect {
			r.write(report{At: reading(e.At), What: "deselected", Token: e.Token})
		}
	}
}

// reading is what the clock has shown at a time of the wall clock.
func reading(at time.Time) time.Duration { return clock.System{}.Now() - time.Since(at) }

// work is what the client does while it leads.
func (r *reporter) work(ctx context.Context, term *locked.Term, key string) error {
	var ending sync.WaitGroup
	defer ending.Wait()
	ending.Go(func() {
		<-ctx.Done()
		r.write(report{At: clock.System{}.Now(), What: "ended", Token: term.Token()})
	})
	for {
		over := ctx.Err() != nil
		line := report{At: clock.System{}.Now(), What: "wrote", Token: term.Token()}
		_, err := term.Txn(context.Background()).Then(clientv3.OpPut(key, strconv.FormatInt(term.Token(), 10))).Commit()
		if err != nil {
			line.Error = err.Error()
		}
		r.write(line)
		if over && errors.Is(err, locked.ErrNotLeader) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Law 11: the README's programs end soon after one Ctrl-C also when etcd is a process that was stopped.
func TestReadmeEndsWithEtcdStopped(t *testing.T) {
	t.Parallel()
	for recipe, program := range buildRecipes(t) {
		t.Run(recipe, func(t *testing.T) {
			t.Parallel()
			c := startClusterWith(t, 1, 0)
			etcd := c.Members[0]
			endsAtOnce(t, recipe, program, etcd.Addr(), etcd.Process().Pause)
			etcd.Process().Resume()
		})
	}
}

// Law 2, and law 4: when it goes on it is not selected, and its writes are refused.
func TestLaw2ClientStopped(t *testing.T) {
	t.Parallel()
	notShort(t)
	e := server(t, etcdserver.Config{})
	for i, tries := 0, 0; i < *rounds; tries++ {
		if tries == 5**rounds {
			t.Fatal("no client led until it was stopped")
		}
		if stopClient(t, e, fmt.Sprint("/round", tries), i) {
			i++
		}
	}
}

// stopClient reports whether the client led when it was stopped. It may not, if the machine has held it up for longer than
// its TTL before.
func stopClient(t *testing.T, e *etcdServer, path string, round int) bool {
	key := path + " written"
	p := startProcess(t, "client", clientSettings{e.Endpoint(), path, key})
	reports := &reports{p: p}
	reports.await("the client leads and writes", func(r report) bool { return r.What == "wrote" && r.Error == "" })
	l, err := locked.New(e.Endpoint(), testOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	next := candidateFor(t, l, path, "next", time.Minute)
	events := listen(t, next)
	start(t, next)

	p.Pause()
	stopped := clock.System{}.Now()
	ended := func(r report) bool { return r.What == "ended" }
	if next.IsSelected() || slices.ContainsFunc(reports.all(), ended) {
		p.Resume()
		p.release()
		return false
	}
	eventually(t, "another node is elected", next.IsSelected)
	elected := clock.System{}.Now()
	time.Sleep(max(0, stopped+stoppedTTL+500*time.Millisecond-elected))
	resumed := clock.System{}.Now()
	p.Resume()

	after := func(what string) func(report) bool {
		return func(r report) bool { return r.What == what && r.At >= resumed }
	}
	asked := reports.await("the first report after the stop", after("asked"))
	wrote := reports.await("the first write after the stop", after("wrote"))
	end := reports.await("the end of the term", ended)
	if asked.Selected {
		t.Error("law 2: selected after the stop, while another node was elected")
	}
	if wrote.Error != locked.ErrNotLeader.Error() {
		t.Errorf("law 4: the first write after the stop: %q, want %q", wrote.Error, locked.ErrNotLeader)
	}
	told := reports.await("the event of that", func(r report) bool { return r.What == "deselected" })
	selected := events.await(locked.EventSelect)
	if from := reading(selected.At); told.At > from {
		t.Errorf("law 9: by their events two led at once, for %v", told.At-from)
	}
	late := end.At - resumed
	asks := 0 // it asks every millisecond, unless the machine holds it up
	for _, r := range reports.all() {
		if after("asked")(r) && r.At < end.At {
			asks++
		}
	}
	if asks > 100 {
		t.Errorf("law 2: the context of the term ended %v after the stop, when the client had asked %d times", late, asks)
	}
	t.Logf("round %d: another node elected after %v, client stopped for %v; then: first report after %v, first write after %v, context dead after %v",
		round, elected-stopped, resumed-stopped, asked.At-resumed, wrote.At-resumed, late)
	p.release()
	reports.check(t, resumed, wrote.Token)
	checkFence(t, e, key, wrote.Token, next.Token())
	return true
}

// reports are what a client has written.
type reports struct {
	p    *process
	read []report
}

func (r *reports) all() []report {
	for _, line := range r.p.output(len(r.read)) {
		var one report
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			r.p.t.Fatalf("the client wrote %q: %v", line, err)
		}
		r.read = append(r.read, one)
	}
	return r.read
}

// await gives the first report of a kind.
func (r *reports) await(what string, matches func(report) bool) (found report) {
	r.p.t.Helper()
	eventually(r.p.t, what, func() bool {
		for _, one := range r.all() {
			if matches(one) {
				found = one
				return true
			}
		}
		return false
	})
	return found
}

// check looks at all that was reported after the stop: never selected, and no write of the old term.
func (r *reports) check(t *testing.T, resumed time.Duration, token int64) {
	for _, one := range r.all() {
		if one.At < resumed {
			continue
		}
		if one.Selected {
			t.Errorf("law 2: selected after the stop: %+v", one)
		}
		if one.What == "wrote" && one.Token == token && one.Error == "" {
			t.Errorf("law 4: written after the stop: %+v", one)
		}
	}
}

// checkFence: no write of a term was committed after the next one began.
func checkFence(t *testing.T, e *etcdServer, key string, token, next int64) {
	if next <= token {
		t.Errorf("law 3: token %d after %d", next, token)
	}
	for _, events := range e.history(key, next) {
		for _, ev := range events {
			t.Errorf("law 4: %s written at revision %d, after the term with token %d began", ev.Kv.Value, ev.Kv.ModRevision, next)
		}
	}
}
