package etcdserver

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// KeptRevisions is how many of the latest revisions stay readable. Older ones
// are compacted every five minutes: a watch that wants to resume from further
// back gets ErrCompacted. A count, not a time, so that history is long on a
// quiet server and bounded on a busy one: some tens of megabytes.
const KeptRevisions = 100_000

const (
	defaultListen   = "127.0.0.1:0"
	defaultElection = 100 * time.Millisecond
	minElection     = 5 * time.Millisecond
	maxElection     = 50 * time.Second
	handshakeLimit  = 3 * time.Second
)

// Config says what to run. The zero value is a server on a free loopback port
// with a temporary directory, no TLS and no log.
type Config struct {
	// Listen is HOST:PORT for clients, "127.0.0.1:0" if empty. HOST is an IP
	// address or "localhost", PORT a number, 0 for a free one. A wildcard
	// address is advertised, in etcd's member list, as the loopback address.
	Listen string

	// DataDir is created if it is not there. Empty: a temporary directory,
	// which Close removes.
	DataDir string

	// Cluster makes the server one member of several. Nil: it is alone.
	Cluster *Cluster

	// ElectionTimeout is etcd's, from 5 ms to 50 s; 0 is 100 ms, or etcd's own
	// 1 s in a Cluster. A start waits for at most this long, and no lease is
	// shorter than 1.5 times as long, rounded up to seconds: 1 s, or 2 s with
	// etcd's own. A cluster of one elects nobody after its start, so a short
	// timeout costs only wake-ups, five in each: 0.6 % of a core at 100 ms.
	ElectionTimeout time.Duration

	// NoFsync leaves writing to disk to the operating system. For tests and
	// demos: a power failure can lose acknowledged writes.
	NoFsync bool

	// CertFile and KeyFile turn TLS on. PEM files, both or neither; they are
	// read again for each connection, so they may be renewed in place.
	CertFile, KeyFile string

	// ClientCAFile makes clients show a certificate signed by one of these
	// authorities. It needs CertFile and KeyFile.
	ClientCAFile string

	// TokenTTL is how long a token lasts unused after a login with a password,
	// in whole seconds. 0 is etcd's 5 minutes.
	TokenTTL time.Duration

	// Logger receives etcd's warnings and errors, and as debug records what
	// etcd calls information. Nil: silence.
	Logger *slog.Logger
}

// check fills in defaults and refuses what can be known to be wrong.
func (c *Config) check() error {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = defaultElection
		if c.Cluster != nil {
			c.ElectionTimeout = clusterElection
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkListen(c.Listen); err != nil {
		return fmt.Errorf("listen address %q: %w", c.Listen, err)
	}
	if c.ElectionTimeout < minElection || c.ElectionTimeout > maxElection {
		return fmt.Errorf("election timeout %v: must be from %v to %v", c.ElectionTimeout, minElection, maxElection)
	}
	if c.TokenTTL < 0 || c.TokenTTL%time.Second != 0 {
		return fmt.Errorf("token TTL %v: must be whole seconds", c.TokenTTL)
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if c.Cluster != nil {
		return c.Cluster.check()
	}
	return nil
}

func (c *Config) checkTLS() error {
	if c.CertFile == "" && c.KeyFile == "" {
		if c.ClientCAFile != "" {
			return fmt.Errorf("client CA file %q: needs a certificate and a key file too", c.ClientCAFile)
		}
		return nil
	}
	tls := c.tls()
	if _, err := tls.ServerConfig(); err != nil {
		return fmt.Errorf("TLS with certificate file %q, key file %q, client CA file %q: %w",
			c.CertFile, c.KeyFile, c.ClientCAFile, err)
	}
	return nil
}

func (c *Config) tls() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile:       c.CertFile,
		KeyFile:        c.KeyFile,
		TrustedCAFile:  c.ClientCAFile,
		ClientCertAuth: c.ClientCAFile != "",
	}
}

func (c *Config) scheme() string {
	if c.CertFile != "" {
		return "https"
	}
	return "http"
}

// embed translates the configuration, for a server that listens on listen and
// is reached at addr, both with the port decided.
func (c *Config) embed(listen, addr, dir string) *embed.Config {
	e := embed.NewConfig()
	e.Name = "locked" // etcd warns about its own default
	e.Dir = dir
	e.ListenClientUrls = []url.URL{{Scheme: c.scheme(), Host: listen}}
	e.AdvertiseClientUrls = []url.URL{{Scheme: c.scheme(), Host: addr}}
	e.ClientTLSInfo = c.tls()

	// A connection that says nothing holds Close up: for handshakeLimit, and
	// for ever if HTTP is not on a port of its own, as the two are then told
	// apart by what a connection says first.
	e.ListenClientHttpUrls = []url.URL{{Scheme: "http", Host: defaultListen}}
	e.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ConnectionTimeout(handshakeLimit)}

	// A member must have a peer URL, but alone nobody will ever dial it.
	peer := url.URL{Scheme: "http", Host: defaultListen}
	e.ListenPeerUrls = nil
	e.AdvertisePeerUrls = []url.URL{peer}
	e.InitialCluster = e.Name + "=" + peer.String()
	e.InitialClusterToken = rand.Text()

	e.AutoCompactionMode = embed.CompactorModeRevision
	e.AutoCompactionRetention = strconv.Itoa(KeptRevisions)
	e.EnableGRPCGateway = false
	e.UnsafeNoFsync = c.NoFsync
	e.ElectionMs = uint(c.ElectionTimeout.Milliseconds())
	e.TickMs = e.ElectionMs / 5 // the longest that etcd allows
	if c.TokenTTL > 0 {
		e.AuthTokenTTL = uint(c.TokenTTL / time.Second)
	}
	if c.Cluster != nil {
		c.Cluster.embed(e)
	}
	return e
}
