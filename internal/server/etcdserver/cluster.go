package etcdserver

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
)

// clusterElection is etcd's own default, for members that have a network
// between them.
const clusterElection = time.Second

// Cluster makes a server one member of a cluster of several. The settings are
// etcd's, and must be the same in all members where etcd says so. They count at
// the first start; afterwards the data directory knows the cluster.
type Cluster struct {
	// Name is this member's, one of those in Members.
	Name string

	// Listen is HOST:PORT for the other members. HOST is an IP address or
	// "localhost"; PORT is not 0, as the others must know it.
	Listen string

	// Advertise is the URL at which the others reach this member, the one that
	// Members gives it. Empty: that of Listen.
	Advertise string

	// AdvertiseClients is the URL that clients of the cluster are told. Empty:
	// that of Config.Listen.
	AdvertiseClients string

	// Members are the members that the cluster begins with, this one included:
	// "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380".
	Members string

	// Token keeps clusters apart that are begun with the same members. Empty:
	// etcd's "etcd-cluster".
	Token string

	// Existing is set where this member was added to a cluster that runs.
	Existing bool

	// CertFile, KeyFile and CAFile turn TLS between members on. PEM files, all
	// or none; each member must show a certificate of one of the authorities.
	CertFile, KeyFile, CAFile string
}

func (c *Cluster) check() error {
	if c.Name == "" {
		return errors.New("member name: must not be empty")
	}
	if err := checkListen(c.Listen); err != nil {
		return fmt.Errorf("peer address %q: %w", c.Listen, err)
	}
	if strings.HasSuffix(c.Listen, ":0") {
		return fmt.Errorf("peer address %q: needs a port, which the other members know", c.Listen)
	}
	for what, text := range map[string]string{"peer URL": c.Advertise, "client URL": c.AdvertiseClients} {
		if _, err := types.NewURLs([]string{text}); text != "" && err != nil {
			return fmt.Errorf("advertised %s %q: %w", what, text, err)
		}
	}
	members, err := types.NewURLsMap(c.Members)
	if err != nil {
		return fmt.Errorf("members %q: %w", c.Members, err)
	}
	if _, ok := members[c.Name]; !ok {
		return fmt.Errorf("members %q: %q is not one of them", c.Members, c.Name)
	}
	return c.checkTLS()
}

func (c *Cluster) checkTLS() error {
	if c.CertFile == "" && c.KeyFile == "" && c.CAFile == "" {
		return nil
	}
	if c.CertFile == "" || c.KeyFile == "" || c.CAFile == "" {
		return fmt.Errorf("peer TLS with certificate file %q, key file %q, CA file %q: needs all three",
			c.CertFile, c.KeyFile, c.CAFile)
	}
	tls := c.tls()
	if _, err := tls.ServerConfig(); err != nil {
		return fmt.Errorf("peer TLS with certificate file %q, key file %q, CA file %q: %w",
			c.CertFile, c.KeyFile, c.CAFile, err)
	}
	return nil
}

func (c *Cluster) tls() transport.TLSInfo {
	return transport.TLSInfo{CertFile: c.CertFile, KeyFile: c.KeyFile, TrustedCAFile: c.CAFile, ClientCertAuth: c.CAFile != ""}
}

func (c *Cluster) scheme() string {
	if c.CertFile != "" {
		return "https"
	}
	return "http"
}

// embed puts the member into an otherwise complete configuration. The URLs were
// checked.
func (c *Cluster) embed(e *embed.Config) {
	listen := url.URL{Scheme: c.scheme(), Host: c.Listen}
	e.Name = c.Name
	e.ListenPeerUrls = []url.URL{listen}
	e.AdvertisePeerUrls = []url.URL{listen}
	if c.Advertise != "" {
		e.AdvertisePeerUrls = types.MustNewURLs([]string{c.Advertise})
	}
	if c.AdvertiseClients != "" {
		e.AdvertiseClientUrls = types.MustNewURLs([]string{c.AdvertiseClients})
	}
	e.PeerTLSInfo = c.tls()
	e.InitialCluster = c.Members
	e.InitialClusterToken = c.Token
	if c.Token == "" {
		e.InitialClusterToken = "etcd-cluster"
	}
	if c.Existing {
		e.ClusterState = embed.ClusterStateFlagExisting
	}
	e.TickMs = e.ElectionMs / 10 // as etcd has it: a heartbeat may be lost or late
}
