package test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/metrics"
)

func TestMetrics(t *testing.T) {
	notShort(t)
	e := server(t, etcdserver.Config{})
	l := locker(t, e.Endpoint())
	const ttl = 20 * time.Second // longer than any hitch of the machine
	first, second := candidateFor(t, l, "/a", "1", ttl), candidateFor(t, l, "/a", "2", ttl)
	events := listen(t, first)
	start(t, first, second)
	events.await(locked.EventRefresh) // until a renewal was measured
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.New(l))
	want := `
# HELP locked_selected Whether the node is elected: 1 or 0.
# TYPE locked_selected gauge
locked_selected{id="1",path="/a"} 1
locked_selected{id="2",path="/a"} 0
# HELP locked_terms_total Terms that nodes of this process began.
# TYPE locked_terms_total counter
locked_terms_total 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "locked_selected", "locked_terms_total"); err != nil {
		t.Error(err)
	}
	stop(t, first)
	want = `
# HELP locked_term_ends_total Terms of nodes of this process that ended, by cause.
# TYPE locked_term_ends_total counter
locked_term_ends_total{cause="expired"} 0
locked_term_ends_total{cause="removed"} 0
locked_term_ends_total{cause="stopped"} 1
locked_term_ends_total{cause="transferred"} 0
locked_term_ends_total{cause="unhealthy"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "locked_term_ends_total"); err != nil {
		t.Error(err)
	}
	if l.Stats().Renewal.Count == 0 || l.Stats().Verification.Sum == 0 {
		t.Errorf("no renewal was measured: %+v", l.Stats())
	}
}
