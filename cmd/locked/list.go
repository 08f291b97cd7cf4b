package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

const listHelp = `List prints the elections whose paths begin with PREFIX, or all: who is elected at each, and
how many candidates wait. An election is there as long as somebody leads or waits.

With -o json each line is an object with path, id, value, token, revision and waiting.`

type listOptions struct {
	conn   *connection
	format format
	prefix string
}

// standing is an election as list shows it.
type standing struct {
	locked.Leader
	Waiting int `json:"waiting"`
}

func newListCommand(conn *connection) *cobra.Command {
	o := &listOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "Print all elections, who leads them, and how many wait",
		Long:  listHelp,
		Example: `  locked list
  locked list /jobs/
  locked list -o json | jq -r 'select(.waiting == 0) | .path'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("list takes at most one PREFIX, and was given %d: see %s --help", len(args), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: conn.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.prefix = args[0]
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	o.format.addTo(cmd.Flags())
	return cmd
}

func (o *listOptions) run(ctx context.Context, w io.Writer) error {
	client, err := o.conn.openClient()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := standings(ctx, client, o.conn, o.prefix)
	if err != nil {
		return err
	}
	if o.format == jsonForm {
		for _, s := range list {
			if err := printJSON(w, s); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w, "PATH", "ELECTED", "VALUE", "TOKEN", "WAITING")
	for _, s := range list {
		t.row(s.Path, orNobody(s.ID), printable(s.Value), orNothing(s.Token), fmt.Sprint(s.Waiting))
	}
	return t.flush()
}

// standings reads all elections below a prefix, a thousand keys at a time, all at one revision.
func standings(ctx context.Context, client *clientv3.Client, conn *connection, prefix string) ([]standing, error) {
	found := map[string]*standing{}
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		from, end = "\x00", "\x00"
	}
	for revision := int64(0); ; {
		limited, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), conn.timeout)
		resp, err := client.Get(limited, from, clientv3.WithRange(end), clientv3.WithLimit(1000), clientv3.WithRev(revision))
		cancel()
		if errors.Is(err, rpctypes.ErrPermissionDenied) {
			return nil, &exitError{exitRefused, unlisted(prefix, err)}
		}
		if err != nil {
			return nil, conn.explain(err)
		}
		for _, kv := range resp.Kvs {
			path, part, _ := election.ParseKey(string(kv.Key))
			if part != election.PartTerm && part != election.PartQueue {
				continue
			}
			s := found[path]
			if s == nil {
				s = &standing{Leader: locked.Leader{Path: path}}
				found[path] = s
			}
			if part == election.PartQueue {
				s.Waiting++
				continue
			}
			s.ID, s.Value, _ = election.Split(string(kv.Value))
			s.Token, s.Revision = kv.CreateRevision, kv.ModRevision
		}
		if !resp.More {
			break
		}
		from, revision = string(resp.Kvs[len(resp.Kvs)-1].Key)+"\x00", resp.Header.Revision
	}
	var list []standing
	for _, s := range found {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b standing) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// unlisted says what a user needs who may not see the elections below a prefix.
func unlisted(prefix string, err error) error {
	what, grant := fmt.Sprintf("all keys below %q", prefix), fmt.Sprintf("%s --prefix", prefix)
	if prefix == "" {
		what, grant = "all keys", `"" --from-key`
	}
	return fmt.Errorf("reading %s: %s: the etcd user needs a role with read permission on them (etcdctl role grant-permission ROLE read %s), "+
		"or name a prefix that it may read", what, strings.TrimPrefix(err.Error(), "etcdserver: "), grant)
}

// table prints columns, with their names in the first line.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, names ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	t.row(names...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) flush() error { return t.w.Flush() }

func orNobody(id string) string {
	if id == "" {
		return "-"
	}
	return id
}

func orNothing(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// printable is a value on one line, and not for ever.
func printable(value string) string {
	const most = 60
	quoted := fmt.Sprintf("%q", value)
	if value == "" || quoted != `"`+value+`"` || len(value) > most {
		if runes := []rune(quoted); len(runes) > most {
			return string(runes[:most]) + "…"
		}
		return quoted
	}
	return value
}
