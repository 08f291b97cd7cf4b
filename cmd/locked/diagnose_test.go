package main

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/server/etcdserver"
)

// An etcd that answers, if only by asking who asks, is not told to be silent.
func TestGreet(t *testing.T) {
	s, err := etcdserver.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	conn := newConnection()
	greet := func() {
		t.Helper()
		if problem, remedy := conn.probe(t.Context(), s.Endpoint()); problem != "it answers, but not in time" || !strings.Contains(remedy, "--command-timeout") {
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

// What etcd answers has the code of its kind: 77 is for who asks, and not for what is asked.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		answer error // as gRPC has it
		code   int
		says   string
	}{
		{rpctypes.ErrGRPCPermissionDenied, exitRefused, "permission denied"},
		{rpctypes.ErrGRPCAuthFailed, exitRefused, "--password"},
		{rpctypes.ErrGRPCUserEmpty, exitRefused, "--user"},
		{rpctypes.ErrGRPCInvalidAuthToken, exitRefused, "auth token"},
		{rpctypes.ErrGRPCRequestTooLarge, exitUsage, "--max-request-bytes"},
		{rpctypes.ErrGRPCNotSupportedForLearner, exitUnreachable, "--endpoints"},
		{rpctypes.ErrGRPCLeaseNotFound, exitUnreachable, "--ttl"},
		{rpctypes.ErrGRPCNoSpace, exitFailed, "space exceeded"},
		{rpctypes.ErrGRPCCompacted, exitFailed, "compacted"},
	} {
		err := newConnection().explain(fmt.Errorf("locked: get a lease /x: %w", rpctypes.Error(test.answer)))
		if got := exitCode(err); got != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v ends with %d, want %d with %q: %v", test.answer, got, test.code, test.says, err)
		}
	}
}
