package agent

import (
	"strings"
	"testing"
	"time"
)

// At its end the agent tells, waits until those who lead have ended their work, hands over, and closes then.
func TestDrain(t *testing.T) {
	t.Parallel()
	needSharedClock(t)
	etcd := testEtcd(t)
	first, second := serverOn(t, etcd), serverOn(t, etcd)
	a := first.campaign("web", "a", "ttl", "2s") // hears, but does nothing
	before := a.await("select")
	viewer := first.listen("GET", "/v1/elections/web/events", "")
	viewer.await("change")
	b := second.campaign("web", "b", "ttl", "2s")
	b.await("change")
	go first.stop()
	at := b.selectedAt()
	told := append([]event{before}, a.ended()...)
	if promised := lastPromise(told); at < promised {
		t.Errorf("the next one was elected %v before what the first one was told had run out", promised-at)
	}
	order := names(told)
	if !strings.Contains(order, "deselect") || !strings.HasSuffix(order, "end") {
		t.Errorf("told: %s", order)
	}
	if order := names(viewer.ended()); !strings.HasSuffix(order, "end") {
		t.Errorf("a viewer was told: %s", order)
	}
}

// An agent that waits no longer ends every stream with a word.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.DrainTimeout = 100 * time.Millisecond })
	a := s.campaign("web", "a", "ttl", "4s") // hears, but does nothing
	a.await("select")
	b := s.campaign("web", "b", "ttl", "4s")
	b.waits()
	s.late = true
	go s.stop()
	for _, c := range []*campaigner{a, b} {
		if order := names(c.ended()); !strings.HasSuffix(order, "end") {
			t.Errorf("%s was told: %s", c.id, order)
		}
	}
	for all := 1; all > 0; time.Sleep(time.Millisecond) { // what the first one was told runs out
		all, _ = s.agent.registry.count()
	}
}

func names(events []event) string {
	var list []string
	for _, e := range events {
		list = append(list, e.name)
	}
	return strings.Join(list, " ")
}

// A caller who ends his work when he is told to does not make the end of the agent wait.
func TestDrainIsQuick(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.DrainTimeout = time.Hour })
	a := s.campaign("web", "a", "ttl", "600s") // what it was told holds for minutes
	a.await("select")
	go func() {
		a.await("deselect")
		a.close()
	}()
	start := time.Now()
	s.stop()
	if took := time.Since(start); took > patience {
		t.Errorf("the end took %v", took)
	}
}
