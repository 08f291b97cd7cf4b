package etcdserver

import (
	"fmt"
	"net/url"
	"strings"
)

// Flags gives the configuration to an etcd program. Listen needs a port, and
// DataDir a directory: such a program cannot tell what it has chosen. It has no
// port of its own for etcd's pages, as most programs have none, and no Logger.
func (c Config) Flags() ([]string, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("etcdserver: %w", err)
	}
	if strings.HasSuffix(c.Listen, ":0") || c.DataDir == "" {
		return nil, fmt.Errorf("etcdserver: listen address %q, data directory %q: must be decided for a program", c.Listen, c.DataDir)
	}
	e := c.embed(c.Listen, reach(c.Listen), c.DataDir)
	if c.Cluster == nil {
		e.ListenPeerUrls = e.AdvertisePeerUrls // a program cannot have none
	}
	flags := []string{
		"--name=" + e.Name,
		"--data-dir=" + e.Dir,
		"--listen-client-urls=" + list(e.ListenClientUrls),
		"--advertise-client-urls=" + list(e.AdvertiseClientUrls),
		"--listen-peer-urls=" + list(e.ListenPeerUrls),
		"--initial-advertise-peer-urls=" + list(e.AdvertisePeerUrls),
		"--initial-cluster=" + e.InitialCluster,
		"--initial-cluster-token=" + e.InitialClusterToken,
		"--initial-cluster-state=" + e.ClusterState,
		fmt.Sprintf("--heartbeat-interval=%d", e.TickMs),
		fmt.Sprintf("--election-timeout=%d", e.ElectionMs),
		"--auto-compaction-mode=" + e.AutoCompactionMode,
		"--auto-compaction-retention=" + e.AutoCompactionRetention,
		fmt.Sprintf("--auth-token-ttl=%d", e.AuthTokenTTL),
	}
	if e.UnsafeNoFsync {
		flags = append(flags, "--unsafe-no-fsync")
	}
	flags = append(flags, tlsFlags("--", c.CertFile, c.KeyFile, c.ClientCAFile)...)
	if c.Cluster != nil {
		flags = append(flags, tlsFlags("--peer-", c.Cluster.CertFile, c.Cluster.KeyFile, c.Cluster.CAFile)...)
	}
	return flags, nil
}

func list(urls []url.URL) string {
	var texts []string
	for _, u := range urls {
		texts = append(texts, u.String())
	}
	return strings.Join(texts, ",")
}

func tlsFlags(prefix, cert, key, ca string) (flags []string) {
	if cert != "" {
		flags = append(flags, prefix+"cert-file="+cert, prefix+"key-file="+key)
	}
	if ca != "" {
		flags = append(flags, prefix+"trusted-ca-file="+ca, prefix+"client-cert-auth")
	}
	return flags
}
