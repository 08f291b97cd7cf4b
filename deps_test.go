package locked

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What the library itself imports, besides the standard library. A new line here is a new thing that every program with
// a candidate in it has to carry.
var mayImport = []string{
	"github.com/samcday/locked/internal/clock",
	"github.com/samcday/locked/internal/election",
	"github.com/samcday/locked/internal/etcd",
	"github.com/samcday/locked/internal/logqueue",
	"github.com/samcday/locked/internal/mailbox",
	"github.com/samcday/locked/internal/testhook",
	"go.etcd.io/etcd/api/v3/etcdserverpb",
	"go.etcd.io/etcd/api/v3/mvccpb",
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes",
	"go.etcd.io/etcd/client/v3",
	"golang.org/x/sys/unix",
	"golang.org/x/sys/windows",
	"google.golang.org/grpc",
	"google.golang.org/grpc/codes",
	"google.golang.org/grpc/metadata",
	"google.golang.org/grpc/status",
}

// What of the standard library is not for a library: serving, publishing figures, running programs, reading flags. Etcd's
// client needs gRPC, and gRPC needs net/http, so the rule is about what is imported here.
var mustNotImport = []string{"net/http", "expvar", "flag", "os/exec", "os/signal", "testing", "unsafe"}

// What must not be linked, by whatever way: etcd's server, metrics, a CLI framework, and the parts of this module that
// stand above the library.
var mustNotLink = []string{
	"go.etcd.io/etcd/server", "go.etcd.io/raft", "go.etcd.io/bbolt",
	"github.com/prometheus", "github.com/spf13",
	"github.com/samcday/locked/internal/server/etcdserver", "github.com/samcday/locked/cmd/internal/chaos", "github.com/samcday/locked/cmd",
}

func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows", "freebsd"} {
		for _, path := range goList(t, goos, `-f={{join .Imports "\n"}}`, ".") {
			first, _, _ := strings.Cut(path, "/")
			if standard := !strings.Contains(first, "."); standard && isBelow(path, mustNotImport) {
				t.Errorf("%s: the library must not import %s", goos, path)
			} else if !standard && !slices.Contains(mayImport, path) {
				t.Errorf("%s: the library imports %s: if it must, add that to mayImport", goos, path)
			}
		}
		for _, path := range goList(t, goos, "-deps", ".") {
			if isBelow(path, mustNotLink) {
				t.Errorf("%s: the library must not link %s", goos, path)
			}
		}
	}
}

// What the floors below the library may import of this module: no arrow points up.
var floors = map[string][]string{
	"internal/etcd":     {"internal/clock", "internal/election", "internal/mailbox"},
	"internal/election": nil,
	"internal/clock":    nil,
	"internal/logqueue": nil,
	"internal/mailbox":  nil,
	"internal/testhook": {"internal/clock"},
}

func TestFloors(t *testing.T) {
	for floor, below := range floors {
		for _, path := range goList(t, runtime.GOOS, `-f={{join .Imports "\n"}}`, "./"+floor) {
			if p, ours := strings.CutPrefix(path, "github.com/samcday/locked"); ours && !slices.Contains(below, strings.TrimPrefix(p, "/")) {
				t.Errorf("%s imports %s, and may import no more of ours than %v", floor, path, below)
			}
		}
	}
}

// isBelow reports whether a package is one of those, or below one.
func isBelow(path string, those []string) bool {
	return slices.ContainsFunc(those, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// goList runs go list, which leaves tests out, in this directory.
func goList(t *testing.T, goos string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v", goos, err)
	}
	paths := strings.Fields(string(out))
	if len(paths) == 0 {
		t.Fatalf("go list for %s names no packages", goos)
	}
	return paths
}
