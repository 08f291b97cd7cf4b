package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
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
