package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

func (x *Examination) alarms(ctx context.Context) Finding {
	limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	resp, err := x.Client.AlarmList(limited)
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return Finding{"alarms", "ok", "not for this user to see", ""}
	case err != nil:
		return Finding{"alarms", "fail", x.Etcd.Explain(err).Error(), ""}
	}
	if len(resp.Alarms) == 0 {
		return Finding{"alarms", "ok", "none", ""}
	}
	first := resp.Alarms[0]
	fix := "see etcd's documentation of corruption: replace the member"
	if first.Alarm == etcdserverpb.AlarmType_NOSPACE {
		fix = "nobody can be elected: etcdctl compact, etcdctl defrag (a member at a time, the leader last: each stalls), then etcdctl alarm disarm"
	}
	return Finding{"alarms", "fail", fmt.Sprintf("%v on member %x", first.Alarm, first.MemberID), fix}
}

// lease grants one, renews it and revokes it.
func (x *Examination) lease(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	began := time.Now()
	granted, err := x.Client.Grant(ctx, 1)
	if err != nil {
		return Finding{"lease", "fail", "not granted: " + x.Etcd.Explain(err).Error(), "without leases nobody can compete"}
	}
	_, err = x.Client.KeepAliveOnce(ctx, granted.ID)
	took := time.Since(began)
	_, rerr := x.Client.Revoke(ctx, granted.ID)
	slow := "that is slow: etcd's disk may be (see its log for \"slow fdatasync\")"
	switch err = errors.Join(err, rerr); {
	case errors.Is(err, rpctypes.ErrLeaseNotFound) && time.Since(began) > time.Duration(granted.TTL)*time.Second:
		return Finding{"lease", "warn", fmt.Sprintf("granted; its %d s had passed before it was renewed and revoked", granted.TTL), slow}
	case err != nil:
		return Finding{"lease", "fail", "not renewed or revoked: " + x.Etcd.Explain(err).Error(), ""}
	}
	f := Finding{"lease", "ok", fmt.Sprintf("granted and renewed in %v; the shortest TTL here is %d s", round(took), granted.TTL), ""}
	if took > 200*time.Millisecond {
		f.Status, f.Fix = "warn", slow
	}
	return f
}

// permissions tries what a candidate does: reading, and transactions that would write, but for a condition that never holds.
func (x *Examination) permissions(ctx context.Context) []Finding {
	if _, err := x.Locker.Leader(ctx, x.Path); err != nil && !errors.Is(err, locked.ErrNoLeader) && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return []Finding{{"permission", "fail", x.Etcd.Explain(err).Error(), ""}}
	}
	prefix := election.Prefix(x.Path)
	recipe := fmt.Sprintf("etcdctl role grant-permission ROLE readwrite %s; etcdctl role grant-permission ROLE readwrite %s --prefix",
		x.Path, prefix)
	never := clientv3.Compare(clientv3.CreateRevision(x.Path), "<", 0)
	probe := election.QueuePrefix(x.Path) + "doctor-" + strings.ToLower(rand.Text()[:8])
	tries := []struct {
		what string
		ops  []clientv3.Op
	}{
		{"read " + x.Path, []clientv3.Op{clientv3.OpGet(x.Path)}},
		{"read below " + prefix, []clientv3.Op{clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())}},
		{"write " + x.Path, []clientv3.Op{clientv3.OpPut(x.Path, "")}},
		{"write below " + prefix, []clientv3.Op{clientv3.OpPut(probe, "")}},
	}
	var out []Finding
	for _, try := range tries {
		limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
		_, err := x.Client.Txn(limited).If(never).Then(try.ops...).Commit()
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrPermissionDenied):
			out = append(out, Finding{"permission", "fail", "this user may not " + try.what, recipe})
		case err != nil:
			out = append(out, Finding{"permission", "fail", "to " + try.what + ": " + x.Etcd.Explain(err).Error(), ""})
		default:
			out = append(out, Finding{"permission", "ok", "may " + try.what, ""})
		}
	}
	return out
}
