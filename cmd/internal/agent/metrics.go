package agent

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/samcday/locked/metrics"
)

// collectors are what /metrics shows: the locker's figures, the agent's own, and the process's.
func (a *Agent) collectors() *prometheus.Registry {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics.New(a.locker), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("locked_agent_candidacies", "Candidacies, those that are held included.", func() float64 {
			all, _ := a.registry.count()
			return float64(all)
		}),
		gauge("locked_agent_held_candidacies", "Candidacies whose connection was lost, and whose callers may believe what they were told.", func() float64 {
			_, held := a.registry.count()
			return float64(held)
		}),
		gauge("locked_agent_viewers", "Open event streams of those who do not compete.", func() float64 { return float64(a.viewers.Load()) }),
		gauge("locked_agent_connections", "Open connections.", func() float64 { return float64(a.listener.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "locked_agent_refused_connections_total", Help: "Connections that were closed because there were too many.",
		}, func() float64 { return float64(a.listener.refused.Load()) }),
	)
	return r
}
