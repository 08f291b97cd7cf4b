// Matrix runs the tests that talk to etcd, and a minute of chaos, against other releases of etcd, as processes.
//
//	go run ./test/matrix                  # all of etcdtest.Releases
//	go run ./test/matrix -quick           # those that matter most, and not what waits longest
//	go run ./test/matrix 3.5.23 3.6.8     # these
//	go run ./test/matrix -path 3.5.23     # builds one, and prints where it is
//
// A release is built when it is wanted for the first time. It ends with code 1 if anything has failed, and says what; the whole
// output is in files then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/server/etcdtest"
)

// options are what the flags say.
type options struct {
	quick    bool
	path     string
	chaos    time.Duration
	atOnce   int
	versions []string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "only the releases that matter most, 20s of chaos, nothing in a browser, and of locked run only what is short")
	flag.StringVar(&o.path, "path", "", "build this `VERSION`, print where it is, and do nothing else")
	flag.DurationVar(&o.chaos, "chaos", time.Minute, "how long each release is put through chaos; 0 leaves it out")
	flag.IntVar(&o.atOnce, "at-once", 4, "how many programs run at a time: they wait most of it")
	flag.Parse()
	o.versions = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context) error {
	if o.path != "" {
		path, err := etcdtest.Binary(ctx, o.path)
		if err == nil {
			fmt.Println(path)
		}
		return err
	}
	if o.quick {
		o.chaos = min(o.chaos, 20*time.Second)
	}
	if len(o.versions) == 0 {
		o.versions = known(o.quick)
	}
	dir, err := os.MkdirTemp("", "locked-matrix-")
	if err != nil {
		return err
	}
	rows, err := o.matrix(ctx, dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	show(os.Stdout, rows)
	if !slices.ContainsFunc(rows, func(r *row) bool { return r.failed }) {
		return os.RemoveAll(dir)
	}
	return fmt.Errorf("something has failed: see %s", filepath.Join(dir, "*.log"))
}

func known(quick bool) (versions []string) {
	for _, r := range etcdtest.Releases {
		if r.Quick || !quick {
			versions = append(versions, r.Version)
		}
	}
	return versions
}

// matrix runs everything against everything.
func (o *options) matrix(ctx context.Context, dir string) (rows []*row, err error) {
	m := &machine{dir: dir}
	if err := m.build(ctx); err != nil {
		return nil, err
	}
	for _, version := range o.versions {
		etcd, err := etcdtest.Binary(ctx, version)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			rows = append(rows, &row{version: version, what: "build", failed: true, result: err.Error()})
			continue
		}
		for _, p := range programs {
			if run := p.against(m, version, o.quick); run != nil {
				rows = append(rows, &row{version: version, what: p.name, run: run})
			}
		}
		if loses := func(r etcdtest.Release) bool { return r.Version == version && r.Loses }; o.chaos > 0 && !slices.ContainsFunc(etcdtest.Releases, loses) {
			rows = append(rows, &row{version: version, what: "chaos", run: m.chaos(etcd, version, o.chaos)})
		}
	}
	do(ctx, rows, o.atOnce)
	return rows, ctx.Err()
}

// do runs rows, so many at once.
func do(ctx context.Context, rows []*row, atOnce int) {
	next := make(chan *row)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for r := range next {
				r.do(ctx)
			}
		})
	}
	for _, r := range rows {
		if ctx.Err() == nil && r.run != nil {
			next <- r
		}
	}
	close(next)
	running.Wait()
}
