package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/server/etcdserver"
)

// etcd is a server of its own in a process of its own, with etcd's own timing and fsync on.
type etcd struct {
	*process
	endpoint string
}

// etcd starts one for the scenario.
func (b *bench) etcd(ctx context.Context) (*etcd, error) {
	dir, err := os.MkdirTemp("", "locked-bench-etcd-")
	if err != nil {
		return nil, err
	}
	b.cleanup(func() { os.RemoveAll(dir) })
	c, err := spawn("etcd", nil)
	if err != nil {
		return nil, err
	}
	b.cleanup(c.Kill)
	m, err := c.ask(ctx, request{Do: "start", Path: dir})
	return &etcd{c, m.Endpoint}, err
}

func newEtcdCommand() *cobra.Command {
	return &cobra.Command{Use: "etcd", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return serve(func(r request) message {
			if r.Do == "start" {
				s, err := etcdserver.Start(cmd.Context(), etcdserver.Config{DataDir: r.Path, ElectionTimeout: time.Second})
				if err != nil {
					return message{Err: err.Error()}
				}
				return message{Endpoint: s.Endpoint()}
			}
			figures, err := etcdFigures()
			if err != nil {
				return message{Err: err.Error()}
			}
			return message{Figures: figures}
		})
	}}
}

// etcdFigures are what the server counts: the messages that it got, the raft entries that it committed, the leases that it
// holds, and the time that it ran.
func etcdFigures() (map[string]float64, error) {
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		return nil, err
	}
	figures := map[string]float64{"cpu": cpuSeconds(), "rss": residentBytes()}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "grpc_server_msg_received_total":
				figures["requests"] += m.GetCounter().GetValue()
				for _, label := range m.GetLabel() {
					if label.GetName() == "grpc_method" {
						figures["requests "+strings.ToLower(label.GetValue())] += m.GetCounter().GetValue()
					}
				}
			case "etcd_server_proposals_committed_total":
				figures["commits"] += m.GetGauge().GetValue()
			case "etcd_debugging_lease_granted_total":
				figures["leases"] += m.GetCounter().GetValue()
			}
		}
	}
	return figures, nil
}

// figures asks the server for them.
func (e *etcd) figures(ctx context.Context) (map[string]float64, error) {
	m, err := e.ask(ctx, request{Do: "figures"})
	return m.Figures, err
}

// client connects to the server.
func (b *bench) client(e *etcd) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.endpoint}, Logger: zap.NewNop()})
	if err == nil {
		b.cleanup(func() { c.Close() })
	}
	return c, err
}
