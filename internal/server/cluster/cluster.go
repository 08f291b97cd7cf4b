//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/faultproxy"
)

// Cluster is an etcd cluster of processes.
type Cluster struct {
	Members []*Member
	Mesh    *Mesh

	election time.Duration     // etcd's timeout, 0 for its own
	command  child.Command     // that runs a member, or
	program  *etcdproc.Program // an etcd that does
	scratch  *Scratch
	clients  []*clientv3.Client // of each member alone, without faults between
	links    []*Link

	mu sync.Mutex
}

func name(i int) string { return fmt.Sprintf("m%d", i+1) }

// Start runs a cluster whose members have their data in a temporary directory, and waits until it serves. The command
// must call [RunMember]. An election timeout of 0 is etcd's own.
func Start(ctx context.Context, size int, command child.Command, election time.Duration) (*Cluster, error) {
	return start(ctx, size, &Cluster{command: command, election: election})
}

func start(ctx context.Context, size int, c *Cluster) (*Cluster, error) {
	if err := c.start(ctx, size); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, size int) (err error) {
	if c.scratch, err = NewScratch("locked-cluster-"); err != nil {
		return err
	}
	if c.Mesh, err = newMesh(size); err != nil {
		return err
	}
	for i := range size {
		c.Members = append(c.Members, &Member{Index: i, cluster: c})
	}
	for _, m := range c.Members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	for _, m := range c.Members {
		if err := m.Serves(ctx); err != nil {
			return err
		}
		if err := c.dial(m); err != nil {
			return err
		}
	}
	_, _, err = c.AwaitLeader(ctx)
	return err
}

func (c *Cluster) initial() string {
	var members []string
	for i := range c.Members {
		members = append(members, name(i)+"=http://"+peerHost(i))
	}
	return strings.Join(members, ",")
}

func (c *Cluster) dial(m *Member) error {
	link, err := c.Link(m.Index) // the member's own address changes when it is started again
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{link.Addr()}, Logger: zap.NewNop(), DialTimeout: time.Second})
	if err == nil {
		c.clients = append(c.clients, client)
	}
	return err
}

// Link is the network between a client and a member.
type Link struct {
	*faultproxy.Proxy
	Member int // its index
}

// NewLink gives a link to a member that listens at an address: empty while it does not.
func NewLink(member int, addr func() string) (*Link, error) {
	p, err := faultproxy.New(addr)
	if err != nil {
		return nil, err
	}
	return &Link{p, member}, nil
}

// Link gives a new link to a member, which ends with the cluster.
func (c *Cluster) Link(member int) (*Link, error) {
	l, err := NewLink(member, c.Members[member].Addr)
	if err == nil {
		c.links = append(c.links, l)
	}
	return l, err
}

// Client is one of that member alone, over a link without faults.
func (c *Cluster) Client(member int) *clientv3.Client { return c.clients[member] }

// Status is what a member says of itself, nil if it does not answer within half a second.
func (c *Cluster) Status(ctx context.Context, member int) *clientv3.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	client := c.clients[member]
	s, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return nil
	}
	return s
}

// Leader gives the member that most members name as their leader in the latest raft term, and that term; -1 if there is none.
func (c *Cluster) Leader(ctx context.Context) (index int, raftTerm uint64) {
	statuses := make([]*clientv3.StatusResponse, len(c.Members))
	var asked sync.WaitGroup
	for i := range c.Members {
		asked.Go(func() { statuses[i] = c.Status(ctx, i) })
	}
	asked.Wait()
	votes := map[uint64]int{}
	for _, s := range statuses {
		if s != nil && s.RaftTerm > raftTerm {
			raftTerm = s.RaftTerm
		}
	}
	for _, s := range statuses {
		if s != nil && s.Leader != 0 && s.RaftTerm == raftTerm {
			votes[s.Leader]++
		}
	}
	for i, s := range statuses {
		if s != nil && votes[s.Header.MemberId] > len(statuses)/2 {
			return i, raftTerm
		}
	}
	return -1, raftTerm
}

// MoveLeader has the leader hand etcd's lead over to another member.
func (c *Cluster) MoveLeader(ctx context.Context, from, to int) error {
	s := c.Status(ctx, to)
	if s == nil {
		return errors.New("no answer")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := c.clients[from].MoveLeader(ctx, s.Header.MemberId)
	return err
}

// AwaitLeader waits for a leader.
func (c *Cluster) AwaitLeader(ctx context.Context) (index int, raftTerm uint64, err error) {
	for {
		if index, raftTerm = c.Leader(ctx); index >= 0 {
			return index, raftTerm, nil
		}
		if clock.Pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return -1, raftTerm, ctx.Err()
		}
	}
}

// Close kills the members and removes their data.
func (c *Cluster) Close() error {
	for _, client := range c.clients {
		_ = client.Close() // nothing of it is needed any more
	}
	for _, l := range c.links {
		l.Close()
	}
	for _, m := range c.Members {
		m.close()
	}
	if c.Mesh != nil {
		c.Mesh.close()
	}
	if c.scratch == nil {
		return nil
	}
	return c.scratch.Remove()
}
