package main

import (
	"net"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"github.com/samcday/locked/internal/server/etcdserver"
)

// clusterOptions make a server one member of several. The flags are etcd's.
type clusterOptions struct {
	name, members, state, token          string
	listenPeer, advertise, advertiseMore string
	certFile, keyFile, caFile            string
}

func (o *clusterOptions) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.members, "initial-cluster", "", "all members, this one included: `NAME=URL,...` of their peer URLs")
	f.StringVar(&o.name, "name", "", "this member's `NAME` in --initial-cluster")
	f.StringVar(&o.listenPeer, "listen-peer-urls", "", "`URL` to listen on for the other members (default this member's in --initial-cluster)")
	f.StringVar(&o.advertise, "initial-advertise-peer-urls", "", "`URL` at which they reach it (default this member's in --initial-cluster)")
	f.StringVar(&o.advertiseMore, "advertise-client-urls", "", "`URL` that clients are told (default that of --listen)")
	f.StringVar(&o.state, "initial-cluster-state", "new", "new, or existing for a member that was added to a cluster that runs: `STATE`")
	f.StringVar(&o.token, "initial-cluster-token", "", "`TOKEN` that keeps apart clusters which begin with the same members")
	f.StringVar(&o.certFile, "peer-cert-file", "", "`FILE` with the certificate to show to other members")
	f.StringVar(&o.keyFile, "peer-key-file", "", "`FILE` with the key of --peer-cert-file")
	f.StringVar(&o.caFile, "peer-trusted-ca-file", "", "`FILE` with the authorities that other members' certificates must be signed by")
}

// clusterFlags are those that mean nothing without --initial-cluster.
var clusterFlags = []string{
	"name", "listen-peer-urls", "initial-advertise-peer-urls", "advertise-client-urls", "initial-cluster-state",
	"initial-cluster-token", "peer-cert-file", "peer-key-file", "peer-trusted-ca-file",
}

// resolve gives the member that the flags describe, nil for a server that is alone.
func (o *clusterOptions) resolve(given func(flag string) bool, insecure bool) (*etcdserver.Cluster, error) {
	if o.members == "" {
		for _, flag := range clusterFlags {
			if given(flag) {
				return nil, usagef("--%s is for a member of a cluster: give --initial-cluster too, or leave it out", flag)
			}
		}
		return nil, nil
	}
	if o.name == "" {
		return nil, usagef("--name is needed: which of the members in --initial-cluster this one is")
	}
	if o.state != "new" && o.state != "existing" {
		return nil, usagef("--initial-cluster-state %q: must be new or existing", o.state)
	}
	own := o.own()
	if own == "" {
		return nil, usagef("--initial-cluster %q: %s is not one of its members", o.members, o.name)
	}
	listen, err := o.listenAddress(own)
	if err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(listen); o.certFile == "" && !loopback(host) && !insecure {
		return nil, usagef("other machines can reach %s, and without TLS any of them could join in: give --peer-cert-file, "+
			"--peer-key-file and --peer-trusted-ca-file, or --insecure-listen if the network is yours alone", listen)
	}
	advertise := o.advertise
	if advertise == "" {
		advertise = own
	}
	return &etcdserver.Cluster{
		Name: o.name, Members: o.members, Listen: listen, Advertise: advertise, AdvertiseClients: o.advertiseMore,
		Existing: o.state == "existing", Token: o.token, CertFile: o.certFile, KeyFile: o.keyFile, CAFile: o.caFile,
	}, nil
}

// own is this member's URL among all, empty if it is not there.
func (o *clusterOptions) own() string {
	for member := range strings.SplitSeq(o.members, ",") {
		if name, u, ok := strings.Cut(strings.TrimSpace(member), "="); ok && name == o.name {
			return u
		}
	}
	return ""
}

// listenAddress is IP:PORT to listen on, of a URL as etcd wants it.
func (o *clusterOptions) listenAddress(own string) (string, error) {
	text := o.listenPeer
	if text == "" {
		text = own
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Path != "" {
		return "", usagef("--listen-peer-urls %q: must be one URL, such as http://10.0.0.1:2380", text)
	}
	if want := map[bool]string{true: "https", false: "http"}[o.certFile != ""]; u.Scheme != want {
		return "", usagef("--listen-peer-urls %q: must begin with %s://, as --peer-cert-file is%s given", text, want,
			map[bool]string{true: "", false: " not"}[o.certFile != ""])
	}
	if host := u.Hostname(); net.ParseIP(host) == nil && host != "localhost" {
		return "", usagef("--listen-peer-urls %q: the host must be an IP address or localhost, also where the others know a name", text)
	}
	return u.Host, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
