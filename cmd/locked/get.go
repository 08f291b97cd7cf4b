package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
)

const getHelp = `Get prints the value of the elected node, as it is in etcd now, and nothing else: so it
can be used in scripts. With -o json it prints path, id, value, token and revision; what
of a value is not UTF-8 is replaced there.

If nobody is elected it prints nothing on stdout and exits with 1; if it could not
find out, with another code: see locked help.`

func newGetCommand(conn *connection) *cobra.Command {
	return newQuestion(conn, &cobra.Command{
		Use:   "get PATH",
		Short: "Print the elected node's value",
		Long:  getHelp,
		Example: `  curl http://$(locked get /web)/
  locked get /web -o json | jq -r .id`,
	}, (*question).leader)
}

// leader prints who is elected.
func (q *question) leader(ctx context.Context, w io.Writer) error {
	l, err := q.conn.open()
	if err != nil {
		return err
	}
	defer l.Close(ctx) // it has no nodes that could fail to stop
	leader, err := l.Leader(ctx, q.path)
	if errors.Is(err, locked.ErrNoLeader) {
		return q.nobody("")
	}
	if err != nil {
		return q.conn.explain(err)
	}
	if q.format == jsonForm {
		return printJSON(w, leader)
	}
	_, err = fmt.Fprintln(w, leader.Value)
	return err
}
