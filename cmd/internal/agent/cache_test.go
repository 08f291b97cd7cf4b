package agent

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
)

// leaderIs is true of an event that tells of an election with that leader.
func leaderIs(path, id string) func(event) bool {
	return func(e event) bool {
		leader, _ := e.data["leader"].(map[string]any)
		return e.data["path"] == path && (leader == nil && id == "" || leader != nil && leader["id"] == id)
	}
}

func TestEverything(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.campaign("web", "a")
	a.await("select")
	b := s.campaign("web", "b")
	b.waits()
	s.campaign("jobs/x", "c").await("select")

	all := s.listen("GET", "/v1/events", "")
	all.await("reset")
	found := map[string]event{}
	for len(found) < 2 {
		e := all.await("election")
		found[e.data["path"].(string)] = e
	}
	all.await("synced")
	all.awaitWhere("etcd", func(e event) bool { return e.data["reachable"] == true })
	web := found["/web"]
	queue := web.data["queue"].([]any)
	if !leaderIs("/web", "a")(web) || len(queue) != 1 || queue[0].(map[string]any)["id"] != "b" || web.number("waiting") != 1 {
		t.Errorf("election %v", web.data)
	}
	if web.data["since"] != nil || web.data["gap_ms"] != nil {
		t.Errorf("what was before the agent looked is told of: %v", web.data)
	}

	some := s.listen("GET", "/v1/events?prefix=jobs/", "")
	if e := some.await("election"); !leaderIs("/jobs/x", "c")(e) {
		t.Errorf("election %v", e.data)
	}
	a.close() // a handover, in one revision
	e := all.awaitWhere("election", leaderIs("/web", "b"))
	if gap, known := e.data["gap_ms"].(float64); !known || gap != 0 || e.data["since"] == nil {
		t.Errorf("after a handover: %v", e.data)
	}
	b.close()
	gone := all.awaitWhere("election", leaderIs("/web", ""))
	if gone.number("waiting") != 0 {
		t.Errorf("after everybody has left: %v", gone.data)
	}
	for _, e := range some.drained() {
		if e.data["path"] == "/web" {
			t.Errorf("told of an election that was not asked for: %v", e.data)
		}
	}
}

// putElections writes elections as the library would, with one leader each.
func putElections(t *testing.T, c *clientv3.Client, n, version int) {
	t.Helper()
	for from := 0; from < n; from += 60 {
		var ops []clientv3.Op
		for i := from; i < min(from+60, n); i++ {
			path := fmt.Sprintf("/many/%04d", i)
			ops = append(ops, clientv3.OpPut(election.TermPrefix(path)+"nonce", election.Join("id", fmt.Sprint("value ", version))))
		}
		if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// A subscriber who does not read costs nothing, delays nobody, and hears the latest state when he reads on.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	etcd := testEtcd(t)
	s := serverOn(t, etcd)
	const elections, rounds = 1000, 8
	putElections(t, etcd, elections, 0)
	m := s.agent.cache
	slow, quick := m.subscribe("/many/"), m.subscribe("/many/")
	defer m.unsubscribe(slow)
	defer m.unsubscribe(quick)
	told := 0
	hear := func() {
		for b := m.next(quick); ; b = m.next(quick) {
			told += len(b.elections)
			if b.last && len(b.elections) == 0 {
				return
			}
		}
	}
	for i := range rounds {
		putElections(t, etcd, elections, i+1)
		hear()
	}
	m.mu.Lock()
	pending := len(slow.dirty)
	m.mu.Unlock()
	if pending > elections {
		t.Errorf("%d elections are kept for one who does not read, of %d", pending, elections)
	}
	last := fmt.Sprint(`value `, rounds)
	deadline := time.Now().Add(patience)
	for latest := 0; latest < elections; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d elections told of as they are", latest, elections)
		}
		<-slow.woken
		for b := m.next(slow); len(b.elections) > 0; b = m.next(slow) {
			for _, data := range b.elections {
				if bytes.Contains(data, []byte(last)) {
					latest++
				}
			}
		}
	}
}

// While etcd is away the subscribers are told so, and when it is back, what has changed.
func TestViewerSeesOutage(t *testing.T) {
	t.Parallel()
	cfg := etcdserver.Config{ElectionTimeout: 50 * time.Millisecond, NoFsync: true, DataDir: t.TempDir(), Listen: hitch.Addr(t)}
	first, err := etcdtest.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	etcd := testClient(t, first.Endpoint())
	s := serverOn(t, etcd)
	putElections(t, etcd, 2, 1)
	all := s.listen("GET", "/v1/events", "")
	all.await("synced")
	all.awaitWhere("etcd", func(e event) bool { return e.data["reachable"] == true })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if e := all.awaitWhere("etcd", func(e event) bool { return e.data["reachable"] == false && e.data["error"] != nil }); e.data["since"] == nil {
		t.Errorf("state %v", e.data)
	}
	again, err := etcdtest.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	putElections(t, etcd, 3, 2)
	all.awaitWhere("election", leaderIs("/many/0002", "id"))
	all.awaitWhere("etcd", func(e event) bool { return e.data["reachable"] == true })
}

// A watch that begins after its past was compacted away is begun anew.
func TestCacheRestsAndStartsAnew(t *testing.T) {
	t.Parallel()
	etcd := testEtcd(t)
	s := serverOn(t, etcd)
	m := s.agent.cache
	putElections(t, etcd, 2, 1)
	v := m.subscribe("/")
	awaitBatch(t, m, v)
	m.unsubscribe(v)
	m.rest()
	if len(m.elections) != 0 {
		t.Errorf("a cache that nobody looks at keeps %d elections", len(m.elections))
	}
	putElections(t, etcd, 2, 2)
	v = m.subscribe("/")
	defer m.unsubscribe(v)
	if b := awaitBatch(t, m, v); !b.reset || len(b.elections) != 2 || !bytes.Contains(b.elections[0], []byte("value 2")) {
		t.Errorf("told: %s", b.elections)
	}
}

func awaitBatch(t *testing.T, m *cache, v *subscriber) batch {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case <-v.woken:
			if b := m.next(v); len(b.elections) > 0 {
				return b
			}
		case <-limit:
			t.Fatal("nothing was told")
		}
	}
}

func TestTooManyViewers(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.MaxViewers = 1 })
	first := s.listen("GET", "/v1/events", "")
	first.await("synced")
	if p := s.want(http.StatusServiceUnavailable, "GET", "/v1/elections/web/events", ""); p["type"] != "urn:locked:too-many" {
		t.Errorf("problem %v", p)
	}
}
