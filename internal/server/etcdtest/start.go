package etcdtest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// buildLimit is for a release that must be built first, and all that it consists of downloaded.
const buildLimit = 15 * time.Minute

// Server is a running etcd. The methods are those of [etcdserver.Server].
type Server interface {
	Endpoint() string
	Addr() string
	DataDir() string
	Done() <-chan struct{}
	Close() error
}

var _ Server = (*etcdserver.Server)(nil)

// Start runs an etcd, of the release that is asked for, and returns when it serves.
func Start(ctx context.Context, cfg etcdserver.Config) (Server, error) {
	p, err := Program()
	if err != nil {
		return nil, err
	}
	var s Server
	if p == nil {
		s, err = etcdserver.Start(ctx, cfg)
	} else {
		s, err = startProcess(ctx, p, cfg)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Program is the etcd that is asked for, nil if that is the one built in.
func Program() (*etcdproc.Program, error) { return program() }

var program = sync.OnceValues(func() (*etcdproc.Program, error) {
	path := os.Getenv(Variable)
	if path == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	if !strings.ContainsRune(path, '/') {
		var err error
		if path, err = Binary(ctx, path); err != nil {
			return nil, err
		}
	}
	return etcdproc.Look(ctx, path)
})

// Before reports whether the etcd of the tests is older than a release: for what it cannot do.
func Before(t testing.TB, release string) bool {
	t.Helper()
	p, err := Program()
	switch {
	case err != nil:
		t.Fatal(err)
	case p == nil:
		return older(version.Version, release)
	}
	return older(p.Version, release)
}

// BuiltIn skips a test that has an etcd of its own, always the one built in, where the matter is another one.
func BuiltIn(t testing.TB) {
	t.Helper()
	if asked := os.Getenv(Variable); asked != "" {
		t.Skipf("says nothing of etcd %s: its etcd is the one built in", asked)
	}
}
