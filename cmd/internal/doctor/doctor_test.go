package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// older is a client of an etcd that answers as older versions do.
type older struct {
	clientv3.Maintenance
	clientv3.Cluster
	version      string
	status, list error
}

func (o *older) Status(ctx context.Context, endpoint string) (*clientv3.StatusResponse, error) {
	s, err := o.Maintenance.Status(ctx, endpoint)
	if err != nil || o.status != nil {
		return nil, o.status
	}
	s.Version = o.version
	return s, nil
}

func (o *older) MemberList(ctx context.Context, opts ...clientv3.OpOption) (*clientv3.MemberListResponse, error) {
	if o.list != nil {
		return nil, o.list
	}
	return o.Cluster.MemberList(ctx, opts...)
}

// open makes a client, and a Locker on it.
func open(t *testing.T, e Etcd) (*clientv3.Client, *locked.Locker) {
	t.Helper()
	config, err := etcd.Config(e.Endpoints, e.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := locked.NewFromClient(client, locked.WithRequestTimeout(e.Timeout))
	if err != nil {
		t.Fatal(err)
	}
	return client, l
}

// The doctor says what is known of each version once, and that root alone is told something is no fault.
func TestDoctorVersions(t *testing.T) {
	s, err := etcdserver.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, test := range []struct {
		name           string
		etcd           older
		failed         int
		once, notFound []string
	}{
		{
			"serious",
			older{version: "3.5.2"},
			4,
			[]string{
				"fail version etcd 3.5.2: a member that is killed under load may miss what was committed: the members may then disagree on who is elected → take 3.5.28 or later",
				"warn version etcd 3.5.2: a linearizable read may be out of date",
				"ok quorum ",
			},
			[]string{"support"},
		},
		{"not serious", older{version: "3.6.8"}, 0, []string{"warn version etcd 3.6.8: a linearizable read", "ok member "}, nil},
		{"unsupported", older{version: "3.4.45"}, 0, []string{"warn version etcd 3.4.45: it is out of support"}, []string{"fail"}},
		{"too old", older{version: "3.3.27"}, 1, []string{"fail version etcd 3.3.27: it is older than all"}, nil},
		{"healthy", older{version: "3.7.3"}, 0, []string{"ok member "}, []string{"version etcd"}},
		{
			"for root alone",
			older{status: rpctypes.ErrPermissionDenied, list: rpctypes.ErrPermissionDenied},
			0,
			[]string{"ok members root alone is told of them", "ok quorum "},
			[]string{"fail", "warn"},
		},
		{
			"another answer",
			older{status: rpctypes.ErrCorrupt},
			3,
			[]string{`: it answers "corrupt cluster" → see its log
ok quorum `, "fail member locked at "},
			[]string{"does not answer", "see whether it runs", "or take it out"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := Etcd{Endpoints: s.Endpoint() + "," + s.Endpoint(), Timeout: time.Minute}
			client, l := open(t, given)
			defer client.Close()
			defer l.Close(t.Context())
			test.etcd.Maintenance, test.etcd.Cluster = client.Maintenance, client.Cluster
			client.Maintenance, client.Cluster = &test.etcd, &test.etcd
			var told strings.Builder
			x := &Examination{Etcd: given, Client: client, Locker: l, Tell: func(f Finding) error {
				told.WriteString(f.Status + " " + f.Check + " " + f.Detail + " → " + f.Fix + "\n")
				return nil
			}}
			failed, err := x.Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			if failed != test.failed {
				t.Errorf("%d have failed, want %d", failed, test.failed)
			}
			for _, words := range test.once {
				if n := strings.Count(told.String(), words); n != 1 {
					t.Errorf("%d times: %s", n, words)
				}
			}
			for _, words := range test.notFound {
				if strings.Contains(told.String(), words) {
					t.Errorf("told: %s", words)
				}
			}
			if t.Failed() {
				t.Log(told.String())
			}
		})
	}
}
