package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/doctor"
	"github.com/samcday/locked/internal/election"
)

const candidatesHelp = `Candidates prints who takes part in the election at PATH: first the elected one, then those
that wait, in the order in which it is their turn. The last column is how long etcd will
keep the candidate if it is not heard of any more: one that runs renews its lease before
half of that is over, so one with little left is dead or cut off.

With -o json each line is an object with path, id, value, token (of the elected one),
revision (of etcd, at which it entered, or its term began), and lease_left_s and
lease_ttl_s, in seconds. A lease that etcd does not tell of is "?", and 0 there. If there
is nobody it exits with 1.

Of candidates that have the same id it warns, and with -o json each has same_id: the nonces
by which their keys below PATH::: are told apart. A transfer cannot tell them apart.`

// contender is a candidate as the command shows it.
type contender struct {
	Path string `json:"path"`
	locked.Candidate
	Left   int64    `json:"lease_left_s"`
	TTL    int64    `json:"lease_ttl_s"`
	SameID []string `json:"same_id,omitempty"` // nonces of all candidates with this id, if there are several
}

func newCandidatesCommand(conn *connection) *cobra.Command {
	return newQuestion(conn, &cobra.Command{
		Use:   "candidates PATH",
		Short: "Print who leads and who waits, in order",
		Long:  candidatesHelp,
		Example: `  locked candidates /web
  locked candidates /web -o json | jq -r .id`,
	}, (*question).candidates)
}

// candidates prints who takes part.
func (q *question) candidates(ctx context.Context, w io.Writer) error {
	client, l, err := q.conn.openBoth()
	if err != nil {
		return err
	}
	defer client.Close()
	defer l.Close(ctx) // it has no nodes that could fail to stop
	candidates, err := l.Candidates(ctx, q.path)
	if err != nil {
		return q.conn.explain(err)
	}
	if len(candidates) == 0 {
		return q.nobody(", and nobody waits")
	}
	leases, twins, err := q.leases(ctx, client)
	if err != nil {
		return q.conn.explain(err)
	}
	if q.format == jsonForm {
		for _, c := range candidates {
			lease := leases[c.Revision]
			if err := printJSON(w, contender{q.path, c, lease.left, lease.ttl, twins[c.ID]}); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w, "PLACE", "ID", "VALUE", "TOKEN", "LEASE LEFT")
	waiting := 0
	for _, c := range candidates {
		place := "leads"
		if c.Token == 0 {
			waiting++
			place = fmt.Sprint(waiting)
		}
		t.row(place, c.ID, printable(c.Value), orNothing(c.Token), leases[c.Revision].String())
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(twins)) {
		if _, err := fmt.Fprintf(w, "warning: %s: %s\n", doctor.SameID(id, twins[id]), doctor.OwnID); err != nil {
			return err
		}
	}
	return nil
}

// lease is what etcd says of one, in seconds.
type lease struct{ left, ttl int64 }

func (l lease) String() string {
	if l.ttl == 0 {
		return "?"
	}
	return fmt.Sprintf("%v of %v", time.Duration(max(l.left, 0))*time.Second, time.Duration(l.ttl)*time.Second)
}

// leases reads the leases of all candidates, by the revision at which they entered, and the ids that several of them have.
func (q *question) leases(ctx context.Context, client *clientv3.Client) (map[int64]lease, map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, q.conn.timeout)
	defer cancel()
	resp, err := client.Get(ctx, election.Prefix(q.path), clientv3.WithPrefix())
	if err != nil {
		return nil, nil, err
	}
	known := map[int64]lease{}
	found := map[int64]lease{}
	for _, kv := range resp.Kvs {
		l, ok := known[kv.Lease]
		if !ok && kv.Lease != 0 {
			// One that may not be asked about, as by a user without the permissions of its candidate, stays unknown.
			if r, err := client.TimeToLive(ctx, clientv3.LeaseID(kv.Lease)); err == nil {
				l = lease{r.TTL, r.GrantedTTL}
			}
			known[kv.Lease] = l
		}
		found[kv.CreateRevision] = l
	}
	return found, doctor.Twins(resp.Kvs), nil
}
