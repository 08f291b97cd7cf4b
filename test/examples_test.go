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
	notShort(t)
	t.Parallel()
	etcd, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	args := []string{"test", "-count=1", "-run", "^Example", "-v"}
	if raceEnabled { // as it has been built already
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "LOCKED_EXAMPLE_ENDPOINTS="+etcd.Endpoint())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
