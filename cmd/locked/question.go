package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
)

// question is what is asked about the election at one path.
type question struct {
	conn   *connection
	format format
	path   string
}

// newQuestion completes a command that asks one, and prints the answer.
func newQuestion(conn *connection, cmd *cobra.Command, answer func(*question, context.Context, io.Writer) error) *cobra.Command {
	q := &question{conn: conn}
	cmd.Args = onePath
	cmd.ValidArgsFunction = conn.completePath
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.path = args[0]
		return answer(q, cmd.Context(), cmd.OutOrStdout())
	}
	q.format.addTo(cmd.Flags())
	return cmd
}

// nobody is what there is to say where nobody is elected. Who has left out a slash may look for the election that has it.
func (q *question) nobody(more string) error {
	if !strings.HasPrefix(q.path, "/") {
		more += fmt.Sprintf(" (/%s is another election)", q.path)
	}
	return fmt.Errorf("%w at %s%s", locked.ErrNoLeader, q.path, more)
}
