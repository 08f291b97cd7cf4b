//go:build linux

package locked

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// A cluster of three members, each a process of its own, as in production: etcd's own timing, members that can be stopped
// and cut off from the others while clients still reach them.

const clusterSize = 3

// cluster is what a test holds of it.
type cluster struct {
	t         testing.TB
	members   [clusterSize]*clusterMember
	partition *partition
	client    *clientv3.Client // of all members
}

type clusterMember struct {
	*process
	peerAddr string           // where it listens for the others
	endpoint string           // where it listens for clients
	client   *clientv3.Client // of this member alone
}

// memberSettings are the settings of the role "member".
type memberSettings struct{ Name, Dir, PeerURL, Cluster string }

// runMember is the role "member". It writes where it listens for peers and for clients.
func runMember() error {
	var s memberSettings
	if err := readSettings(&s); err != nil {
		return err
	}
	free := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	peer, err := url.Parse(s.PeerURL)
	if err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = s.Name, s.Dir, s.Cluster
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = free, []url.URL{*peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = free, free
	cfg.EnableGRPCGateway = false
	cfg.UnsafeNoFsync = true // no machine fails here
	if os.Getenv("LOCKED_TEST_LOG") == "" {
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	fmt.Println(e.Peers[0].Addr(), e.Clients[0].Addr())
	awaitRelease()
	return nil
}

// peerHost is the name of a member among the others. Nobody listens there (these addresses are for documentation): its
// peers reach it through the partition, which is their HTTP proxy. Loopback addresses would not go through a proxy.
func peerHost(i int) string { return fmt.Sprintf("192.0.2.%d:2380", i+1) }

// startCluster starts a cluster that ends with the test, and waits until it has a leader.
func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, partition: newPartition(t)}
	var names, endpoints []string
	for i := range c.members {
		names = append(names, fmt.Sprintf("m%d=http://%s", i, peerHost(i)))
	}
	for i := range c.members {
		c.members[i] = &clusterMember{process: startProcess(t, "member",
			memberSettings{fmt.Sprintf("m%d", i), t.TempDir(), "http://" + peerHost(i), strings.Join(names, ",")},
			"HTTP_PROXY=http://"+c.partition.proxies[i], "http_proxy=", "NO_PROXY=", "no_proxy=",
		)}
	}
	for i, m := range c.members {
		eventually(t, "a member listens", func() bool { return len(m.output(0)) > 0 })
		fmt.Sscan(m.output(0)[0], &m.peerAddr, &m.endpoint)
		c.partition.listens(i, m.peerAddr)
		m.client = dial(t, clientv3.Config{Endpoints: []string{m.endpoint}})
		endpoints = append(endpoints, m.endpoint)
	}
	c.client = dial(t, clientv3.Config{Endpoints: endpoints})
	c.leader()
	return c
}

// leader waits until all members name the same leader in the same raft term. It gives the index of that member,
// and the term.
func (c *cluster) leader() (index int, raftTerm uint64) {
	c.t.Helper()
	eventually(c.t, "all members agree on a leader", func() bool {
		index, raftTerm = c.agreed()
		return index >= 0
	})
	return index, raftTerm
}

// agreed gives -1 where they do not agree.
func (c *cluster) agreed() (index int, raftTerm uint64) {
	index = -1
	var first *clientv3.StatusResponse
	for i, m := range c.members {
		s := m.status()
		if s == nil || s.Leader == 0 {
			return -1, 0
		}
		if first == nil {
			first = s
		}
		if s.Leader != first.Leader || s.RaftTerm != first.RaftTerm {
			return -1, 0
		}
		if s.Leader == s.Header.MemberId {
			index = i
		}
	}
	return index, first.RaftTerm
}

// status is what the member says of itself, nil if it does not answer.
func (m *clusterMember) status() *clientv3.StatusResponse {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Second)
	defer cancel()
	s, err := m.client.Status(ctx, m.endpoint)
	if err != nil {
		return nil
	}
	return s
}

// others are the members besides one.
func (c *cluster) others(than int) (others []*clusterMember) {
	for i, m := range c.members {
		if i != than {
			others = append(others, m)
		}
	}
	return others
}

// partition carries what the members send each other. It is an HTTP proxy for each of them, so it knows who asks, and can
// cut one off in both directions: what is on its way then is held until it is healed, as if packets were lost.
type partition struct {
	proxies [clusterSize]string // where each member's proxy listens

	mu     sync.Mutex
	addrs  [clusterSize]string // where the members listen
	cut    int                 // who is cut off; nobody if it is none of them
	healed chan struct{}       // closed when nobody is
}

const nobody = -1

func newPartition(t testing.TB) *partition {
	t.Helper()
	p := &partition{cut: nobody, healed: make(chan struct{})}
	close(p.healed)
	for from := range p.proxies {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.proxies[from] = listener.Addr().String()
		way := &http.Transport{DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
			return p.dial(ctx, from, host)
		}}
		silent := log.New(io.Discard, "", 0)
		s := &http.Server{ErrorLog: silent, Handler: &httputil.ReverseProxy{
			Rewrite: func(*httputil.ProxyRequest) {}, FlushInterval: -1, Transport: way, ErrorLog: silent,
		}}
		var serving sync.WaitGroup
		serving.Go(func() { s.Serve(listener) })
		t.Cleanup(func() {
			p.heal()
			s.Close()
			serving.Wait()
			way.CloseIdleConnections()
		})
	}
	return p
}

// listens notes where a member listens.
func (p *partition) listens(member int, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addrs[member] = addr
}

// isolate cuts a member off from the others.
func (p *partition) isolate(member int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.healed = member, make(chan struct{})
}

func (p *partition) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nobody {
		p.cut = nobody
		close(p.healed)
	}
}

// pass waits until two members can reach each other.
func (p *partition) pass(a, b int) {
	for {
		p.mu.Lock()
		open, healed := p.cut != a && p.cut != b, p.healed
		p.mu.Unlock()
		if open {
			return
		}
		<-healed
	}
}

// dial connects a member to another, which it knows by its peerHost.
func (p *partition) dial(ctx context.Context, from int, host string) (net.Conn, error) {
	for to := range p.proxies {
		if host != peerHost(to) {
			continue
		}
		p.pass(from, to)
		p.mu.Lock()
		addr := p.addrs[to]
		p.mu.Unlock()
		if addr == "" {
			return nil, fmt.Errorf("%s does not listen yet", host)
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &peerConn{Conn: conn, pass: func() { p.pass(from, to) }}, nil
	}
	return nil, fmt.Errorf("%s is no member", host)
}

// peerConn holds back what is read and written while its ends cannot reach each other.
type peerConn struct {
	net.Conn
	pass func()
}

func (c *peerConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.pass()
	return n, err
}

func (c *peerConn) Write(b []byte) (int, error) {
	c.pass()
	return c.Conn.Write(b)
}
