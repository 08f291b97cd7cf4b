package etcdserver

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// A program gets what an etcd in process would have got.
func TestFlags(t *testing.T) {
	cert, key := selfSigned(t)
	member := &Cluster{Name: "m1", Listen: "127.0.0.1:1", Advertise: "http://192.0.2.1:2380", Members: "m1=http://192.0.2.1:2380,m2=http://192.0.2.2:2380"}
	secure := &Cluster{Name: "m1", Listen: "127.0.0.1:1", Members: "m1=https://127.0.0.1:1", CertFile: cert, KeyFile: key, CAFile: cert, Existing: true}
	for name, c := range map[string]Config{
		"alone":  {Listen: "127.0.0.1:2", DataDir: "d", NoFsync: true, TokenTTL: 7 * time.Second, ElectionTimeout: 50 * time.Millisecond},
		"TLS":    {Listen: "0.0.0.0:2", DataDir: "d", CertFile: cert, KeyFile: key, ClientCAFile: cert},
		"member": {Listen: "127.0.0.1:2", DataDir: "d", Cluster: member},
		"secure": {Listen: "127.0.0.1:2", DataDir: "d", Cluster: secure, TokenTTL: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			flags, err := c.Flags()
			if err != nil {
				t.Fatal(err)
			}
			got := embed.NewConfig()
			set := flag.NewFlagSet("etcd", flag.ContinueOnError)
			set.SetOutput(io.Discard)
			got.AddFlags(set)
			set.StringVar(&got.ClusterState, "initial-cluster-state", "", "that only a program has")
			if err := set.Parse(flags); err != nil {
				t.Fatal(err)
			}
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
			want := c.embed(c.Listen, reach(c.Listen), c.DataDir)
			for _, e := range []*embed.Config{got, want} { // no two are alike
				e.InitialClusterToken = ""
			}
			for what, values := range map[string][2]any{
				"name": {got.Name, want.Name}, "directory": {got.Dir, want.Dir},
				"cluster": {got.InitialCluster, want.InitialCluster}, "state": {got.ClusterState, want.ClusterState},
				"timing":     {[]uint{got.TickMs, got.ElectionMs}, []uint{want.TickMs, want.ElectionMs}},
				"compaction": {got.AutoCompactionMode + got.AutoCompactionRetention, want.AutoCompactionMode + want.AutoCompactionRetention},
				"token TTL":  {got.AuthTokenTTL, want.AuthTokenTTL}, "fsync": {got.UnsafeNoFsync, want.UnsafeNoFsync},
				"TLS":       {got.ClientTLSInfo, want.ClientTLSInfo},
				"peer TLS":  {got.PeerTLSInfo, want.PeerTLSInfo},
				"listen":    {set.Lookup("listen-client-urls").Value.String(), list(want.ListenClientUrls)},
				"advertise": {set.Lookup("advertise-client-urls").Value.String(), list(want.AdvertiseClientUrls)},
				"peers":     {set.Lookup("initial-advertise-peer-urls").Value.String(), list(want.AdvertisePeerUrls)},
			} {
				if a, b := fmt.Sprint(values[0]), fmt.Sprint(values[1]); a != b {
					t.Errorf("%s: %s, want %s", what, a, b)
				}
			}
		})
	}
}

// What a program would choose by itself nobody would know.
func TestFlagsUndecided(t *testing.T) {
	for _, c := range []Config{{Listen: "127.0.0.1:2"}, {DataDir: "d"}, {Listen: "127.0.0.1:0", DataDir: "d"}} {
		if _, err := c.Flags(); err == nil || !strings.Contains(err.Error(), "must be decided") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
