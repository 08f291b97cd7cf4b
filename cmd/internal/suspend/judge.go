//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// patience bounds each wait: an emulated machine boots in half a minute on a busy host.
const patience = time.Minute

// judge owns the machine, etcd, and the rival who is elected while the machine does not run.
type judge struct {
	kernel, initrd string
	rounds         int

	etcd    *clientv3.Client
	machine *machine
	locker  *locked.Locker
}

func (j *judge) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "suspend")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := etcdserver.Start(ctx, etcdserver.Config{})
	if err != nil {
		return err
	}
	defer server.Close()
	if j.etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}}); err != nil {
		return err
	}
	defer j.etcd.Close()
	if j.locker, err = locked.NewFromClient(j.etcd); err != nil {
		return err
	}
	defer j.locker.Close(context.Background())

	_, port, _ := net.SplitHostPort(server.Addr())
	if j.machine, err = boot(ctx, j.kernel, j.initrd, port, dir); err != nil {
		return err
	}
	defer j.machine.kill()
	return j.rule(ctx)
}

// rule goes through all rounds. Any answer but the promised one is an error.
func (j *judge) rule(ctx context.Context) error {
	fmt.Printf("TTL %v. Each time a rival on the host is elected while the machine does not run.\n\n", ttl)
	fmt.Println("| the machine is | for | by CLOCK_BOOTTIME | by Go's clock | first IsSelected | context ended after | fenced write | unfenced write |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for range j.rounds {
		for _, f := range []func(context.Context) error{j.suspend, j.pause} {
			limited, cancel := context.WithTimeout(ctx, patience)
			err := f(limited)
			cancel()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// suspend suspends the guest to memory: when it resumes its clock tells it that its time is over.
func (j *judge) suspend(ctx context.Context) error {
	a, err := j.absent(ctx, absence{
		state: "suspended", report: "asleep",
		leave: func() error {
			if err := j.machine.order("suspend"); err != nil {
				return err
			}
			return j.machine.awaitEvent(ctx, "SUSPEND")
		},
		back: func() error { return j.machine.do("system_wakeup") },
	})
	if err == nil && a.guest.Believes {
		err = errors.New("law 2 is broken: the leader believed to lead when it resumed")
	}
	return err
}

// pause stops the guest with all its clocks. It cannot know when it resumes, so only the fence protects: it is asked before
// the network can tell it anything.
func (j *judge) pause(ctx context.Context) error {
	_, err := j.absent(ctx, absence{
		state: "paused", report: "written",
		leave: func() error { return errors.Join(j.machine.plug(false), j.machine.do("stop")) },
		back: func() error {
			if err := errors.Join(j.machine.order("write"), j.machine.do("cont")); err != nil {
				return err
			}
			_, err := j.machine.await(ctx, "asked")
			return errors.Join(err, j.machine.plug(true))
		},
	})
	return err
}

// absence is a while in which the machine does not run, and what came of it.
type absence struct {
	state, report string
	leave, back   func() error

	rival   int64 // its token
	guest   report
	lasted  time.Duration
	written string // what the fenced key holds in the end
}

// absent lets the machine go away until the rival has been elected and has written, and come back. It prints a row.
func (j *judge) absent(ctx context.Context, a absence) (absence, error) {
	old, err := j.machine.await(ctx, "elected")
	if err != nil {
		return a, err
	}
	rival, err := j.locker.Node(path, locked.NodeConfig{ID: "rival", Value: "on the host", TTL: ttl})
	if err != nil {
		return a, err
	}
	leading, step := context.WithCancel(ctx)
	defer step()
	elected, left := make(chan int64, 1), make(chan error, 1)
	waits := rival.Events(leading)
	go func() { left <- rival.Lead(leading, j.lead(elected)) }()
	<-waits // the first event tells that it listens; it queues while the guest leads

	if err := a.leave(); err != nil {
		return a, err
	}
	began := time.Now()
	select {
	case a.rival = <-elected:
	case err := <-left:
		return a, err
	}
	a.lasted = time.Since(began)
	if err := a.back(); err != nil {
		return a, err
	}
	if a.guest, err = j.machine.await(ctx, a.report); err != nil {
		return a, err
	}
	step() // the guest, which queues again, is handed to
	if err := <-left; err != nil && !errors.Is(err, context.Canceled) {
		return a, err
	}
	resp, err := j.etcd.Get(ctx, fenced)
	if err != nil {
		return a, err
	}
	a.written = string(resp.Kvs[0].Value)
	a.row()
	return a, a.check(old.Token)
}

// lead is what the rival does while it is elected.
func (j *judge) lead(elected chan<- int64) func(context.Context, *locked.Term) error {
	return func(ctx context.Context, term *locked.Term) error {
		put := clientv3.OpPut(fenced, fmt.Sprint("rival ", term.Token()))
		if _, err := term.Txn(ctx).Then(put).Commit(); err != nil {
			return err
		}
		elected <- term.Token()
		<-ctx.Done()
		return nil
	}
}

func (a *absence) row() {
	r := a.guest
	asleep := func(d time.Duration) string {
		if r.What != "asleep" {
			return "does not tell"
		}
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	fmt.Printf("| %s | %.2f s | %s | %s | %v | %d ms | %s | %s |\n", a.state, a.lasted.Seconds(), asleep(r.Boottime), asleep(r.GoClock),
		r.Believes, r.Ended.Milliseconds(), r.Fenced, r.Unfenced)
}

// check holds what came of it against the laws.
func (a *absence) check(token int64) error {
	switch {
	case a.guest.Token != token:
		return fmt.Errorf("the leader wrote for term %d, not %d: this round shows nothing", a.guest.Token, token)
	case a.rival <= token:
		return fmt.Errorf("law 3 is broken: the rival's token %d is not larger than %d", a.rival, token)
	case a.guest.Fenced != "refused" || a.written != fmt.Sprint("rival ", a.rival):
		return fmt.Errorf("law 4 is broken: the fenced write was %s, and %q is there", a.guest.Fenced, a.written)
	}
	return nil
}
