// Package metrics shows what a locker has seen to Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/samcday/locked"
)

var (
	perNode = []string{"path", "id"}

	selected = prometheus.NewDesc("locked_selected", "Whether the node is elected: 1 or 0.", perNode, nil)
	deadline = prometheus.NewDesc("locked_deadline_seconds",
		"How long the node will stay elected without another renewal.", perNode, nil)
	queue = prometheus.NewDesc("locked_queue_length",
		"Candidates that wait at the path, as the node knows it.", perNode, nil)
	terms = prometheus.NewDesc("locked_terms_total", "Terms that nodes of this process began.", nil, nil)
	ends  = prometheus.NewDesc("locked_term_ends_total",
		"Terms of nodes of this process that ended, by cause.", []string{"cause"}, nil)
	overdue = prometheus.NewDesc("locked_overdue_terms_total",
		"Terms that were handed over although their work had not ended.", nil, nil)
	dropped = prometheus.NewDesc("locked_dropped_events_total",
		"Events that were merged or left out for slow subscribers.", nil, nil)
	records = prometheus.NewDesc("locked_dropped_log_records_total",
		"Log records that were dropped since the handler was too slow to take them.", nil, nil)
	renewal = prometheus.NewDesc("locked_lease_renewal_seconds",
		"From the request for a renewal of a lease to its answer.", nil, nil)
	verification = prometheus.NewDesc("locked_lease_verification_seconds",
		"The entry that etcd commits to prove renewals.", nil, nil)
)

type collector struct{ l *locked.Locker }

// New gives a collector for a locker, to be registered with a Prometheus registry. Each node that runs has three series.
func New(l *locked.Locker) prometheus.Collector { return collector{l} }

// Describe implements [prometheus.Collector].
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{selected, deadline, queue, terms, ends, overdue, dropped, records, renewal, verification} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.l.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, n := range s.Nodes {
		leads := 0.0
		if n.Selected {
			leads = 1
		}
		send(selected, prometheus.GaugeValue, leads, n.Path, n.ID)
		send(deadline, prometheus.GaugeValue, n.Remaining.Seconds(), n.Path, n.ID)
		send(queue, prometheus.GaugeValue, float64(n.Waiting), n.Path, n.ID)
	}
	send(terms, prometheus.CounterValue, float64(s.Terms))
	send(overdue, prometheus.CounterValue, float64(s.Overdue))
	send(dropped, prometheus.CounterValue, float64(s.Dropped))
	send(records, prometheus.CounterValue, float64(s.DroppedRecords))
	for cause, count := range s.Ends {
		send(ends, prometheus.CounterValue, float64(count), cause)
	}
	out <- histogram(renewal, s.Renewal)
	out <- histogram(verification, s.Verification)
}

func histogram(d *prometheus.Desc, l locked.Latency) prometheus.Metric {
	buckets := map[float64]uint64{}
	for i, bound := range l.Bounds() {
		buckets[bound.Seconds()] = l.Buckets[i]
	}
	return prometheus.MustNewConstHistogram(d, l.Count, l.Sum.Seconds(), buckets)
}
