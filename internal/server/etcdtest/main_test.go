package etcdtest

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/goleak"

	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// roleVar makes the test binary an etcd program: so there is one, and none has to be built.
const roleVar = "LOCKED_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "etcd":
		etcdmain.Main(os.Args)
		return
	case "parent":
		parent()
	}
	goleak.VerifyTestMain(m)
}

// parent starts an etcd, tells where it serves, and is killed.
func parent() {
	os.Setenv(roleVar, "etcd")
	s, err := Start(context.Background(), etcdserver.Config{NoFsync: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Addr())
	select {}
}

// anEtcd is a program: the one that is asked for, or else this one.
func anEtcd(t *testing.T) *etcdproc.Program {
	t.Helper()
	p, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	if p != nil {
		return p
	}
	t.Setenv(roleVar, "etcd")
	if p, err = etcdproc.Look(t.Context(), os.Args[0]); err != nil {
		t.Fatal(err)
	}
	return p
}
