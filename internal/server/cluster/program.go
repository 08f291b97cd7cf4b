//go:build linux

package cluster

import (
	"context"
	"os"
	"time"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/port"
)

// StartProgram is [Start], with an etcd program for each member. These log to files beside their data, and have the same
// addresses all the time.
func StartProgram(ctx context.Context, size int, program *etcdproc.Program, election time.Duration) (*Cluster, error) {
	return start(ctx, size, &Cluster{program: program, election: election})
}

func (m *Member) startProgram() (*child.Process, error) {
	if err := m.keep(); err != nil {
		return nil, err
	}
	cmd, err := m.cluster.program.Command(etcdserver.Config{
		Listen: m.clients, DataDir: m.dir(), ElectionTimeout: m.cluster.election, NoFsync: true, // no machine fails here
		Cluster: &etcdserver.Cluster{
			Name: name(m.Index), Listen: m.peers, Advertise: "http://" + peerHost(m.Index), Members: m.cluster.initial(),
		},
	})
	if err != nil {
		return nil, err
	}
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), m.environment()...)
	if !logs() {
		log, err := os.OpenFile(m.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stderr = log
	}
	p, err := child.Start(cmd, nil)
	if err != nil {
		return nil, err
	}
	m.cluster.Mesh.listens(m.Index, m.peers)
	m.ask(p)
	return p, nil
}

// keep gives the member addresses, once.
func (m *Member) keep() error {
	for _, addr := range []*string{&m.clients, &m.peers} {
		if *addr != "" {
			continue
		}
		kept, release, err := port.Keep()
		if err != nil {
			return err
		}
		*addr, m.keeps = kept, append(m.keeps, release)
	}
	return nil
}

func (m *Member) log() string { return m.dir() + ".log" }

// ask finds out when the member serves.
func (m *Member) ask(p *child.Process) {
	serving := m.serving
	m.asking.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			<-p.Done()
			cancel()
		}()
		if etcdproc.Await(ctx, m.clients, nil) == nil {
			m.set(m.clients)
			close(serving)
		}
	})
}

// why gives the last words of an etcd program.
func (m *Member) why() string {
	if m.cluster.program == nil || logs() {
		return ""
	}
	return ": " + etcdproc.Tail(m.log())
}
