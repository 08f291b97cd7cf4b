package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/etcd"
)

// note remembers the version of a member that has told it.
func (x *Examination) note(s reply) {
	if s.status != nil {
		x.versions[s.status.Version] = true
	}
}

// endpoints asks each endpoint that was given, also those that the client would not need.
func (x *Examination) endpoints(ctx context.Context) []Finding {
	list := x.Client.Endpoints()
	told := make([]reply, len(list))
	var asked sync.WaitGroup
	for i, endpoint := range list {
		asked.Go(func() { told[i] = x.ask(ctx, endpoint) })
	}
	asked.Wait()
	out := make([]Finding, len(list))
	for i, s := range told {
		x.note(s)
		out[i] = endpointFinding(list[i], s)
	}
	return out
}

func endpointFinding(endpoint string, s reply) Finding {
	switch {
	case s.problem == "":
		return Finding{"endpoint", "ok", endpoint + " " + s.answer(), ""}
	case s.answers:
		return Finding{"endpoint", "fail", endpoint + ": " + s.problem, s.remedy}
	}
	if s.remedy == "" {
		s.remedy = "see whether it runs"
	}
	return Finding{"endpoint", "fail", endpoint + ": " + s.problem, s.remedy + ", or take it out of " + endpointsFlag}
}

// cluster looks at the members, as a majority or, without one, any of them knows them; and at all versions that were told.
func (x *Examination) cluster(ctx context.Context, quorum bool) []Finding {
	limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	var options []clientv3.OpOption
	if !quorum {
		options = append(options, clientv3.WithSerializable())
	}
	var out []Finding
	switch resp, err := x.Client.MemberList(limited, options...); {
	case err == nil:
		out = x.members(ctx, resp.Members)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		out = []Finding{{"members", "ok", "root alone is told of them", ""}}
	case quorum:
		out = []Finding{{"members", "fail", "not listed: " + x.Etcd.Explain(err).Error(), ""}}
	}
	for _, v := range slices.Sorted(maps.Keys(x.versions)) {
		out = append(out, versionFindings(v)...)
	}
	return out
}

// members asks each member how it stands, at the first of its URLs that answers.
func (x *Examination) members(ctx context.Context, list []*etcdserverpb.Member) []Finding {
	var out []Finding
	leaders, learners := map[uint64]bool{}, 0
	for _, m := range list {
		f := Finding{Check: "member", Status: "fail", Detail: fmt.Sprintf("%s does not answer", m.Name), Fix: "see whether it runs"}
		if len(m.ClientURLs) == 0 {
			f.Detail, f.Fix = fmt.Sprintf("%x has not started yet", m.ID), "start it, or remove it from the cluster"
		}
		if m.IsLearner {
			learners++
		}
		for _, url := range m.ClientURLs {
			s := x.ask(ctx, url)
			if s.problem != "" {
				f.Detail = fmt.Sprintf("%s at %s: %s", m.Name, url, s.problem)
				f.Fix = "see whether it runs, and whether " + url + ", which it tells its clients, is right from here"
				if s.answers {
					f.Fix = s.remedy
				}
				continue
			}
			x.note(s)
			if s.status != nil {
				leaders[s.status.Leader] = true
			}
			f = memberFinding(m, url, s)
			break
		}
		out = append(out, f)
	}
	switch voters := len(list) - learners; {
	case len(leaders) > 1:
		out = append(out, Finding{"leader", "warn", "the members name different leaders", "wait a second, and ask again"})
	case voters == 1:
		out = append(out, Finding{"members", "warn", "there is only one: when it is down nobody can be elected", "run three"})
	case voters%2 == 0:
		out = append(out, Finding{"members", "warn", fmt.Sprintf("%d vote: that bears no more failures than %d would", voters, voters-1), "run an odd number"})
	}
	return out
}

func memberFinding(m *etcdserverpb.Member, url string, told reply) Finding {
	f := Finding{"member", "ok", fmt.Sprintf("%s at %s %s", m.Name, url, told.answer()), ""}
	s := told.status
	if s == nil {
		return f
	}
	role := "follows"
	switch s.Leader {
	case m.ID:
		role = "leads"
	case 0:
		role = "knows of no leader"
	}
	f.Detail = fmt.Sprintf("%s at %s: etcd %s, %s, %s, database %.1f MB", m.Name, url, s.Version, role, told.answer(), float64(s.DbSize)/1e6)
	switch {
	case s.Leader == 0:
		f.Status, f.Fix = "fail", "see whether it reaches the other members"
	case len(s.Errors) > 0:
		f.Status, f.Detail, f.Fix = "fail", f.Detail+", "+strings.Join(s.Errors, ", "), "see its log"
	case s.DbSizeQuota > 0 && s.DbSize > s.DbSizeQuota*8/10:
		f.Status, f.Fix = "warn", "it is near its quota: etcdctl compact, etcdctl defrag (a member at a time, the leader last: each stalls), or raise --quota-backend-bytes"
	case told.took > 100*time.Millisecond:
		f.Status, f.Fix = "warn", "that is slow: let TTLs be long, or look for a busy disk or network"
	}
	return f
}

// versionFindings tells what is known of a version, however many members have it.
func versionFindings(version string) []Finding {
	faults, take := etcd.Faults(version)
	out := make([]Finding, len(faults))
	for i, f := range faults {
		out[i] = Finding{"version", "warn", fmt.Sprintf("etcd %s: %s: %s", version, f.What, f.Means), "take " + take + " or later"}
		if f.Serious {
			out[i].Status = "fail"
		}
	}
	return out
}
