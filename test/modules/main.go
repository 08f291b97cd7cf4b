// Modules shows that the library can be added and the command be installed, from a module proxy that it makes of a commit:
//
//	go run ./test/modules            # of HEAD
//	go run ./test/modules v0.1.0     # of a tag, or any other commit
//
// (a) The program in test/modules/testdata/program has etcd's client 3.5.21, gRPC 1.64 and Prometheus' 1.19, and calls what etcd's client 3.7
// does not have any more. It adds the library: nothing of it is raised, it builds, and takes part in elections.
// (b) go install works in an empty GOPATH.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	revision := "HEAD"
	if len(os.Args) > 1 {
		revision = os.Args[1]
	}
	if err := run(ctx, revision); err != nil {
		fmt.Fprintln(os.Stderr, "modules:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, revision string) error {
	dir, err := os.MkdirTemp("", "locked-modules-")
	if err != nil {
		return err
	}
	s, err := newStage(ctx, dir, revision)
	if err == nil {
		err = s.show(ctx)
	}
	if s != nil {
		s.clean(context.WithoutCancel(ctx))
	}
	if rerr := os.RemoveAll(dir); err == nil {
		err = rerr
	}
	return err
}
