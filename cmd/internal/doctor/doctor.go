// Package doctor finds out what is wrong with an etcd that elections need, and how to mend that: why its endpoints do not answer,
// what an error of it means, and, in an examination, whether elections can work there at all. What it says is for who uses the
// command: remedies name its flags.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

// Etcd is an etcd as the command was told to reach it.
type Etcd struct {
	Endpoints string        // as for [locked.New]
	TLS       *tls.Config   // nil for none that was asked for
	Timeout   time.Duration // how long to wait for an answer
}

// Finding is what one check has found out.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Examination is one visit of the doctor.
type Examination struct {
	Etcd   Etcd
	Client *clientv3.Client // of that etcd
	Locker *locked.Locker   // on that client
	Path   string           // of the election that is looked at; empty for none
	Tell   func(Finding) error

	failed   int
	versions map[string]bool // of etcd, that members have told
}

// Run makes all checks, and gives how many have failed. An error says that there was nobody to examine, or to tell, or that no
// election can have that path, in which case nothing is asked.
func (x *Examination) Run(ctx context.Context) (failed int, err error) {
	if x.Path != "" {
		if err := locked.CheckPath(x.Path); err != nil {
			return 0, err
		}
	}
	x.versions = map[string]bool{}
	err = x.run(ctx)
	return x.failed, err
}

func (x *Examination) run(ctx context.Context) error {
	if err := x.report(x.endpoints(ctx)...); err != nil {
		return err
	}
	quorum, without := x.quorum(ctx)
	if without != nil && !unreachable(without) {
		return without
	}
	if err := x.report(append([]Finding{quorum}, x.cluster(ctx, without == nil)...)...); err != nil {
		return err
	}
	if without == nil {
		checks := []Finding{x.alarms(ctx), x.lease(ctx)}
		if x.Path != "" {
			checks = append(append(checks, x.permissions(ctx)...), x.ids(ctx)...)
		}
		if err := x.report(checks...); err != nil {
			return err
		}
	}
	if err := x.report(clockRate()); err != nil {
		return err
	}
	return cmp.Or(ctx.Err(), without)
}

// unreachable reports whether an error that was explained says that nobody takes part.
func unreachable(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Kind == Unreachable
}

// report tells what was found, and counts what fails.
func (x *Examination) report(checks ...Finding) error {
	for _, f := range checks {
		if f.Status == "fail" {
			x.failed++
		}
		if err := x.Tell(f); err != nil {
			return err
		}
	}
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
