//go:build linux

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/samcday/locked/internal/etcdserver"
)

// memberSettings are those of the role of a member.
type memberSettings struct {
	Name, Dir, Advertise, Members string
	Log                           bool
}

// memberTells is a line that a member writes.
type memberTells struct {
	Peers  string `json:"peers,omitempty"`  // where it listens for the others: before it serves
	Client string `json:"client,omitempty"` // where it listens for clients: when it serves
}

// RunMember is the role of a member. It returns when stdin ends.
func RunMember(stdin io.Reader, stdout io.Writer) error {
	var s memberSettings
	in := bufio.NewReader(stdin)
	if err := Settings(in, &s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // however it ends
		os.Exit(0)                     // at once: nobody needs a polite end of a cluster
	}()
	server, err := s.start(ctx, json.NewEncoder(stdout))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(memberTells{Client: server.Addr()}); err != nil {
		return err
	}
	<-server.Done()
	return server.Close()
}

// start takes another port when somebody was faster.
func (s *memberSettings) start(ctx context.Context, out *json.Encoder) (*etcdserver.Server, error) {
	var log *slog.Logger
	if s.Log {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		if err := out.Encode(memberTells{Peers: addr}); err != nil {
			return nil, err
		}
		server, err := etcdserver.Start(ctx, etcdserver.Config{
			DataDir: s.Dir, NoFsync: true, Logger: log, // no machine fails here
			Cluster: &etcdserver.Cluster{Name: s.Name, Listen: addr, Advertise: s.Advertise, Members: s.Members},
		})
		if !errors.Is(err, syscall.EADDRINUSE) {
			return server, err
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Member is one process of a cluster.
type Member struct {
	Index int

	cluster *Cluster
	proc    *Process
	serving chan struct{} // closed when it serves

	client string // where it serves clients, under the cluster's mutex; empty while it does not
}

// Addr is where the member listens for clients, empty while it does not.
func (m *Member) Addr() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.client
}

// Process is the member's, a new one after each Start.
func (m *Member) Process() *Process { return m.proc }

// Kill ends the member at once.
func (m *Member) Kill() {
	m.proc.Kill()
	m.set("")
	m.cluster.Mesh.listens(m.Index, "")
}

func (m *Member) set(client string) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	m.client = client
}

// Start runs the member, on the data that it left. It does not wait until it serves.
func (m *Member) Start() error {
	c := m.cluster
	serving := make(chan struct{})
	command := c.command
	command.Env = append(append([]string{}, command.Env...), "HTTP_PROXY=http://"+c.Mesh.proxies[m.Index], "http_proxy=", "NO_PROXY=", "no_proxy=")
	p, err := Run(command, memberSettings{
		Name: name(m.Index), Dir: fmt.Sprintf("%s/%s", c.scratch.Path, name(m.Index)),
		Advertise: "http://" + peerHost(m.Index), Members: c.initial(),
		Log: os.Getenv("LOCKED_CHAOS_LOG") != "",
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
	if err != nil {
		return err
	}
	m.proc, m.serving = p, serving
	return nil
}

// Serves waits until the member serves clients.
func (m *Member) Serves(ctx context.Context) error {
	select {
	case <-m.serving:
		return nil
	case <-m.proc.Done():
		return fmt.Errorf("etcd member %s has ended", name(m.Index))
	case <-ctx.Done():
		return ctx.Err()
	}
}
