package doctor

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// An etcd that answers, if only by asking who asks, is not told to be silent.
func TestGreet(t *testing.T) {
	s, err := etcdserver.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	etcd := Etcd{Timeout: locked.DefaultRequestTimeout}
	greet := func() {
		t.Helper()
		if problem, remedy := etcd.probe(t.Context(), s.Endpoint()); problem != "it answers, but not in time" || !strings.Contains(remedy, "--command-timeout") {
			t.Errorf("%s: %s", problem, remedy)
		}
	}
	greet()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.RoleAdd(t.Context(), "root"))
	must(c.UserAdd(t.Context(), "root", "secret"))
	must(c.UserGrantRole(t.Context(), "root", "root"))
	must(c.AuthEnable(t.Context()))
	greet()
}
