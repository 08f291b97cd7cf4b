//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/samcday/locked/internal/server/child"
)

// Member is one process of a cluster.
type Member struct {
	Index int

	cluster *Cluster
	proc    *child.Process
	serving chan struct{} // closed when it serves

	client string // where it serves clients, under the cluster's mutex; empty while it does not

	// Of an etcd program: where it listens, which is kept for it, and who finds out whether it serves.
	clients, peers string
	keeps          []func() // release these addresses
	asking         sync.WaitGroup
}

// Addr is where the member listens for clients, empty while it does not.
func (m *Member) Addr() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.client
}

// Process is the member's, a new one after each Start.
func (m *Member) Process() *child.Process { return m.proc }

// Kill ends the member at once.
func (m *Member) Kill() {
	m.proc.Kill()
	m.asking.Wait()
	m.set("")
	m.cluster.Mesh.listens(m.Index, "")
}

// close ends it for good.
func (m *Member) close() {
	if m.proc != nil {
		m.proc.Kill()
		m.asking.Wait()
	}
	for _, release := range m.keeps {
		release()
	}
}

func (m *Member) set(client string) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	m.client = client
}

// Start runs the member, on the data that it left. It does not wait until it serves.
func (m *Member) Start() error {
	m.serving = make(chan struct{})
	var err error
	if m.cluster.program == nil {
		m.proc, err = m.startRole()
	} else {
		m.proc, err = m.startProgram()
	}
	return err
}

func (m *Member) startRole() (*child.Process, error) {
	c, serving := m.cluster, m.serving
	command := c.command
	command.Env = append(append([]string{}, command.Env...), m.environment()...)
	return child.Run(command, memberSettings{
		Name: name(m.Index), Dir: m.dir(), Advertise: "http://" + peerHost(m.Index), Members: c.initial(), Log: logs(), Election: c.election,
	}, func(line string) {
		var t memberTells
		if json.Unmarshal([]byte(line), &t) != nil {
			return
		}
		if t.Peers != "" {
			c.Mesh.listens(m.Index, t.Peers)
		}
		if t.Client != "" {
			m.set(t.Client)
			close(serving)
		}
	})
}

func (m *Member) dir() string { return filepath.Join(m.cluster.scratch.Path, name(m.Index)) }

// environment leads a member to the others through its proxy.
func (m *Member) environment() []string {
	return []string{"HTTP_PROXY=http://" + m.cluster.Mesh.proxies[m.Index], "http_proxy=", "NO_PROXY=", "no_proxy="}
}

// logs tells whether to show what members log.
func logs() bool { return os.Getenv("LOCKED_CHAOS_LOG") != "" }

// Serves waits until the member serves clients.
func (m *Member) Serves(ctx context.Context) error {
	select {
	case <-m.serving:
		return nil
	case <-m.proc.Done():
		return fmt.Errorf("etcd member %s has ended%s", name(m.Index), m.why())
	case <-ctx.Done():
		return ctx.Err()
	}
}
