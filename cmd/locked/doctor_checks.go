package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

// examination is one visit of the doctor.
type examination struct {
	conn   *connection
	client *clientv3.Client
	l      *locked.Locker
	path   string
	tell   func(finding) error
	failed int
}

// run makes all checks. An error says that there was nobody to examine, or to tell.
func (x *examination) run(ctx context.Context) error {
	if err := x.report(x.endpoints(ctx)...); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), x.conn.timeout)
	began := time.Now()
	members, err := x.client.MemberList(limited)
	cancel()
	if err != nil {
		return x.conn.explain(err)
	}
	checks := []finding{{"quorum", "ok", fmt.Sprintf("a leader and a majority have answered in %v", round(time.Since(began))), ""}}
	checks = append(checks, x.members(ctx, members.Members)...)
	checks = append(checks, x.alarms(ctx), x.lease(ctx))
	if x.path != "" {
		checks = append(checks, x.permissions(ctx)...)
	}
	if err := x.report(append(checks, clockRate())...); err != nil {
		return err
	}
	return ctx.Err()
}

// checkPath refuses a path that no election can have, before anything is asked.
func (x *examination) checkPath() error {
	if x.path == "" {
		return nil
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel() // names are looked at first, and etcd is not asked
	var config *locked.ConfigError
	if _, err := x.l.Leader(ended, x.path); errors.As(err, &config) {
		return config
	}
	return nil
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

// endpoints asks each endpoint that was given, also those that the client would not need.
func (x *examination) endpoints(ctx context.Context) []finding {
	list := x.client.Endpoints()
	out := make([]finding, len(list))
	var asked sync.WaitGroup
	for i, endpoint := range list {
		asked.Go(func() { out[i] = x.endpoint(ctx, endpoint) })
	}
	asked.Wait()
	return out
}

func (x *examination) endpoint(ctx context.Context, endpoint string) finding {
	_, took, problem, remedy := x.ask(ctx, endpoint)
	if problem != "" {
		return finding{"endpoint", "fail", endpoint + ": " + problem, cmp.Or(remedy, "see whether it runs") + ", or take it out of " + variables("endpoints")}
	}
	return finding{"endpoint", "ok", fmt.Sprintf("%s answers in %v", endpoint, round(took)), ""}
}

// ask asks one member of etcd how it stands. If it does not answer, the problem is why, and the remedy what mends that, if it
// is known.
func (x *examination) ask(ctx context.Context, endpoint string) (s *clientv3.StatusResponse, took time.Duration, problem, remedy string) {
	limited, cancel := context.WithTimeout(ctx, x.conn.timeout)
	defer cancel()
	conn, err := dial(limited, endpoint)
	if err != nil {
		return nil, 0, short(err), "" // etcd's client would go on trying
	}
	_ = conn.Close()
	began := time.Now()
	if s, err = x.client.Status(limited, endpoint); err != nil {
		problem, remedy = x.conn.probe(ctx, endpoint)
		return nil, 0, problem, remedy
	}
	return s, time.Since(began), "", ""
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// members asks each member how it stands, at the first of its URLs that answers.
func (x *examination) members(ctx context.Context, list []*etcdserverpb.Member) []finding {
	var out []finding
	leaders, learners := map[uint64]bool{}, 0
	for _, m := range list {
		f := finding{Check: "member", Status: "fail", Detail: fmt.Sprintf("%s does not answer", m.Name), Fix: "see whether it runs"}
		if len(m.ClientURLs) == 0 {
			f.Detail, f.Fix = fmt.Sprintf("%x has not started yet", m.ID), "start it, or remove it from the cluster"
		}
		if m.IsLearner {
			learners++
		}
		for _, url := range m.ClientURLs {
			s, took, problem, _ := x.ask(ctx, url)
			if problem != "" {
				f.Detail = fmt.Sprintf("%s at %s: %s", m.Name, url, problem)
				f.Fix = "see whether it runs, and whether " + url + ", which it tells its clients, is right from here"
				continue
			}
			leaders[s.Leader] = true
			f = x.status(m, url, s, took)
			break
		}
		out = append(out, f)
	}
	switch voters := len(list) - learners; {
	case len(leaders) > 1:
		out = append(out, finding{"leader", "warn", "the members name different leaders", "wait a second, and ask again"})
	case voters == 1:
		out = append(out, finding{"members", "warn", "there is only one: when it is down nobody can be elected", "run three"})
	case voters%2 == 0:
		out = append(out, finding{"members", "warn", fmt.Sprintf("%d vote: that bears no more failures than %d would", voters, voters-1), "run an odd number"})
	}
	return out
}

func (x *examination) status(m *etcdserverpb.Member, url string, s *clientv3.StatusResponse, took time.Duration) finding {
	role := "follows"
	if s.Leader == m.ID {
		role = "leads"
	}
	f := finding{"member", "ok", fmt.Sprintf("%s at %s: etcd %s, %s, answers in %v, database %.1f MB", m.Name, url, s.Version, role,
		round(took), float64(s.DbSize)/1e6), ""}
	switch {
	case len(s.Errors) > 0:
		f.Status, f.Detail, f.Fix = "fail", f.Detail+", "+strings.Join(s.Errors, ", "), "see its log"
	case s.Leader == 0:
		f.Status, f.Detail, f.Fix = "fail", f.Detail+", knows of no leader", "see whether it reaches the other members"
	case s.DbSizeQuota > 0 && s.DbSize > s.DbSizeQuota*8/10:
		f.Status, f.Fix = "warn", "it is near its quota: etcdctl compact, etcdctl defrag, or raise --quota-backend-bytes"
	case took > 100*time.Millisecond:
		f.Status, f.Fix = "warn", "that is slow: let TTLs be long, or look for a busy disk or network"
	case older(s.Version):
		f.Status, f.Fix = "fail", "two can lead for a while: what proves a lease is no linearizable read before etcd 3.5; take 3.7"
	}
	return f
}

// older reports whether a version is one whose list of members may be a stale one (etcd-io/etcd#11639).
func older(version string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return n == 2 && (major < 3 || major == 3 && minor < 5)
}

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
		fix = "nobody can be elected: etcdctl compact, etcdctl defrag, then etcdctl alarm disarm"
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
	if err = errors.Join(err, rerr); err != nil {
		return finding{"lease", "fail", "not renewed or revoked: " + x.conn.explain(err).Error(), ""}
	}
	f := finding{"lease", "ok", fmt.Sprintf("granted and renewed in %v; the shortest TTL here is %d s", round(took), granted.TTL), ""}
	if took > 200*time.Millisecond {
		f.Status, f.Fix = "warn", "that is slow: etcd's disk may be (see its log for \"slow fdatasync\")"
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
