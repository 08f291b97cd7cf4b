package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/samcday/locked"
	"github.com/samcday/locked/health"
	"github.com/samcday/locked/metrics"
)

// serveHealth answers load balancers and Prometheus.
func serveHealth(addr string, l *locked.Locker, node *locked.Node) (*http.Server, error) {
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--health-addr: %w: stop what listens there, or give another port", err)
	}
	if err != nil {
		return nil, usagef("--health-addr: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(l), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /leader", health.Leader(node))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	s := &http.Server{Addr: listener.Addr().String(), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(listener) }() // until it is closed
	return s, nil
}
