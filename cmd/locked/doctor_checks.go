package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

// examination is one visit of the doctor.
type examination struct {
	conn     *connection
	client   *clientv3.Client
	l        *locked.Locker
	path     string
	tell     func(finding) error
	failed   int
	versions map[string]bool // of etcd, that members have told
}

// run makes all checks. An error says that there was nobody to examine, or to tell.
func (x *examination) run(ctx context.Context) error {
	x.versions = map[string]bool{}
	if err := x.report(x.endpoints(ctx)...); err != nil {
		return err
	}
	quorum, without := x.quorum(ctx)
	if without != nil && exitCode(without) != exitUnreachable {
		return without
	}
	if err := x.report(append([]finding{quorum}, x.cluster(ctx, without == nil)...)...); err != nil {
		return err
	}
	if without == nil {
		checks := []finding{x.alarms(ctx), x.lease(ctx)}
		if x.path != "" {
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

// checkPath refuses a path that no election can have, before anything is asked.
func (x *examination) checkPath() error {
	if x.path == "" {
		return nil
	}
	return locked.CheckPath(x.path)
}

// report tells what was found, and counts what fails.
func (x *examination) report(checks ...finding) error {
	for _, f := range checks {
		if f.Status == "fail" {
			x.failed++
		}
		if err := x.tell(f); err != nil {
			return err
		}
	}
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func (x *examination) alarms(ctx context.Context) finding {
	limited, cancel := context.WithTimeout(ctx, x.conn.timeout)
	defer cancel()
	resp, err := x.client.AlarmList(limited)
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return finding{"alarms", "ok", "not for this user to see", ""}
	case err != nil:
		return finding{"alarms", "fail", x.conn.explain(err).Error(), ""}
	}
	if len(resp.Alarms) == 0 {
		return finding{"alarms", "ok", "none", ""}
	}
	first := resp.Alarms[0]
	fix := "see etcd's documentation of corruption: replace the member"
	if first.Alarm == etcdserverpb.AlarmType_NOSPACE {
		fix = "nobody can be elected: etcdctl compact, etcdctl defrag (a member at a time, the leader last: each stalls), then etcdctl alarm disarm"
	}
	return finding{"alarms", "fail", fmt.Sprintf("%v on member %x", first.Alarm, first.MemberID), fix}
}

// lease grants one, renews it and revokes it.
func (x *examination) lease(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, x.conn.timeout)
	defer cancel()
	began := time.Now()
	granted, err := x.client.Grant(ctx, 1)
	if err != nil {
		return finding{"lease", "fail", "not granted: " + x.conn.explain(err).Error(), "without leases nobody can compete"}
	}
	_, err = x.client.KeepAliveOnce(ctx, granted.ID)
	took := time.Since(began)
	_, rerr := x.client.Revoke(ctx, granted.ID)
	slow := "that is slow: etcd's disk may be (see its log for \"slow fdatasync\")"
	switch err = errors.Join(err, rerr); {
	case errors.Is(err, rpctypes.ErrLeaseNotFound) && time.Since(began) > time.Duration(granted.TTL)*time.Second:
		return finding{"lease", "warn", fmt.Sprintf("granted; its %d s had passed before it was renewed and revoked", granted.TTL), slow}
	case err != nil:
		return finding{"lease", "fail", "not renewed or revoked: " + x.conn.explain(err).Error(), ""}
	}
	f := finding{"lease", "ok", fmt.Sprintf("granted and renewed in %v; the shortest TTL here is %d s", round(took), granted.TTL), ""}
	if took > 200*time.Millisecond {
		f.Status, f.Fix = "warn", slow
	}
	return f
}

// permissions tries what a candidate does: reading, and transactions that would write, but for a condition that never holds.
func (x *examination) permissions(ctx context.Context) []finding {
	if _, err := x.l.Leader(ctx, x.path); err != nil && !errors.Is(err, locked.ErrNoLeader) && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return []finding{{"permission", "fail", x.conn.explain(err).Error(), ""}}
	}
	prefix := election.Prefix(x.path)
	recipe := fmt.Sprintf("etcdctl role grant-permission ROLE readwrite %s; etcdctl role grant-permission ROLE readwrite %s --prefix",
		x.path, prefix)
	never := clientv3.Compare(clientv3.CreateRevision(x.path), "<", 0)
	probe := election.QueuePrefix(x.path) + "doctor-" + strings.ToLower(rand.Text()[:8])
	tries := []struct {
		what string
		ops  []clientv3.Op
	}{
		{"read " + x.path, []clientv3.Op{clientv3.OpGet(x.path)}},
		{"read below " + prefix, []clientv3.Op{clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())}},
		{"write " + x.path, []clientv3.Op{clientv3.OpPut(x.path, "")}},
		{"write below " + prefix, []clientv3.Op{clientv3.OpPut(probe, "")}},
	}
	var out []finding
	for _, try := range tries {
		limited, cancel := context.WithTimeout(ctx, x.conn.timeout)
		_, err := x.client.Txn(limited).If(never).Then(try.ops...).Commit()
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			out = append(out, finding{"permission", "fail", "this user may not " + try.what, recipe})
		case err != nil:
			out = append(out, finding{"permission", "fail", "to " + try.what + ": " + x.conn.explain(err).Error(), ""})
		default:
			out = append(out, finding{"permission", "ok", "may " + try.what, ""})
		}
	}
	return out
}

// ids looks whether several candidates have the same id. Who may not read them is told so elsewhere.
func (x *examination) ids(ctx context.Context) []finding {
	limited, cancel := context.WithTimeout(ctx, x.conn.timeout)
	defer cancel()
	resp, err := x.client.Get(limited, election.Prefix(x.path), clientv3.WithPrefix())
	if err != nil {
		return nil
	}
	found := twins(resp.Kvs)
	if len(found) == 0 {
		return []finding{{"ids", "ok", "no two candidates at " + x.path + " have the same id", ""}}
	}
	var out []finding
	for _, id := range slices.Sorted(maps.Keys(found)) {
		out = append(out, finding{"ids", "warn", sameID(id, found[id]), ownID})
	}
	return out
}
