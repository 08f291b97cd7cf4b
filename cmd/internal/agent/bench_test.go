package agent

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
)

// How soon the next one is elected, as its own stream tells, from when the connection of the one before has ended, which
// another connection of the same process tells: as a ratio to the least that tells somebody something through etcd, one put and its arrival at a watch, measured in turns with
// it, with fsync on. Medians: go test ./cmd/internal/agent -run '^$' -bench Handover -benchtime 100x
func BenchmarkHandover(b *testing.B) {
	for name, lead := range map[string]func(*benchmark) (end func() time.Time){
		"closed": leadHere,
		"killed": leadInProcess,
	} {
		b.Run(name, func(b *testing.B) {
			m := newBenchmark(b)
			var handover, floor samples
			for b.Loop() {
				end := lead(m)
				next := m.server.campaign("web", "next", "ttl", "60s")
				next.waits()
				start := end()
				handover = append(handover, next.await("select").at.Sub(start))
				next.close()
				m.vacant()
				start = time.Now()
				m.putAndHear()
				floor = append(floor, time.Since(start))
			}
			b.ReportMetric(float64(handover.median())/1e6, "ms/handover")
			b.ReportMetric(float64(floor.median())/1e6, "ms/floor")
			b.ReportMetric(float64(handover.median())/float64(floor.median()), "x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type samples []time.Duration

func (s samples) median() time.Duration {
	s = slices.Clone(s)
	slices.Sort(s)
	return s[len(s)/2]
}

// benchmark is an agent, and the least that could be.
type benchmark struct {
	*testing.B
	server  *server
	client  *clientv3.Client
	changes clientv3.WatchChan
	viewer  *listening
	n       int
}

func newBenchmark(b *testing.B) *benchmark {
	b.Helper()
	e, err := etcdtest.Start(b.Context(), etcdserver.Config{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	m := &benchmark{B: b, client: testClient(b, e.Endpoint())}
	m.server = serverOn(b, m.client, func(c *Config) { c.Logger = nil })
	m.server.unchecked = true
	m.changes = testClient(b, e.Endpoint()).Watch(b.Context(), "floor")
	m.viewer = m.server.listen("GET", "/v1/elections/web/events", "")
	return m
}

func (m *benchmark) putAndHear() {
	m.n++
	if _, err := m.client.Put(m.Context(), "floor", fmt.Sprint(m.n)); err != nil {
		m.Fatal(err)
	}
	<-m.changes
}

// vacant waits until nobody leads.
func (m *benchmark) vacant() {
	m.viewer.drained()
	for {
		if status, _ := m.server.call("GET", "/v1/elections/web", ""); status == 404 {
			return
		}
	}
}

func leadHere(m *benchmark) func() time.Time {
	first := m.server.campaign("web", "first", "ttl", "60s")
	first.await("select")
	return func() time.Time {
		now := time.Now()
		first.close()
		return now
	}
}

func leadInProcess(m *benchmark) func() time.Time {
	witness, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.Fatal(err)
	}
	defer witness.Close()
	url := m.server.url + "/v1/elections/web/campaign?id=first&value=x&ttl=60s"
	cmd, out := child(m, "campaigner", url+" "+witness.Addr().String())
	seen, err := witness.Accept()
	if err != nil {
		m.Fatal(err)
	}
	awaitLine(m, out, "select")
	return func() time.Time {
		defer seen.Close()
		_ = cmd.Process.Kill()
		_, _ = seen.Read(make([]byte, 1))
		return time.Now()
	}
}
