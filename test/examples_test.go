package test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
)

// The examples of the documentation do what they say, on an etcd of their own.
func TestExamples(t *testing.T) {
	t.Parallel()
	etcd, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^Example", "-v", ".")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "LOCKED_EXAMPLE_ENDPOINTS="+etcd.Endpoint())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
