package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/span"
)

const transferHelp = `Transfer makes the elected node of PATH hand over to the candidate that is named by --to, or
to the next in line, and returns when that is elected. The old leader goes to the end of
the queue. A program under "locked run" is ended first, and has its --grace for that.

Nobody sees PATH empty. It exits with 1 if nobody leads, or the candidate does not wait or
leaves meanwhile; and with 75 if it is not done within --wait, or another transfer is under
way. With -o json it prints path, id, value, token and revision of the new leader.`

type transferOptions struct {
	conn   *connection
	format format
	path   string
	to     string
	wait   time.Duration
}

func newTransferCommand(conn *connection) *cobra.Command {
	o := &transferOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "transfer PATH",
		Short: "Make the elected node hand over",
		Long:  transferHelp,
		Example: `  locked transfer /web
  locked transfer /web --to web-2 --wait 1m`,
		Args:              onePath,
		ValidArgsFunction: conn.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.path = args[0]
			switch {
			case cmd.Flags().Changed("to") && o.to == "":
				return usagef("--to must not be empty: leave it out for the next in line")
			case o.wait <= 0:
				return usagef("--wait %v: must be more than 0", o.wait)
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "`ID` of the candidate to hand over to (default the next in line)")
	span.Var(f, &o.wait, "wait", 30*time.Second, "how long to wait for the leader to end its work")
	_ = cmd.RegisterFlagCompletionFunc("to", conn.completeCandidate)
	o.format.addTo(f)
	return cmd
}

func (o *transferOptions) run(ctx context.Context, w io.Writer) error {
	l, err := o.conn.open()
	if err != nil {
		return err
	}
	defer l.Close(context.WithoutCancel(ctx)) // it has no nodes that could fail to stop
	limited, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	switch err := l.Transfer(limited, o.path, o.to); {
	case errors.Is(err, locked.ErrNoLeader):
		return fmt.Errorf("%w at %s", err, o.path)
	case errors.Is(err, locked.ErrNoCandidate) && o.to != "":
		return &exitError{exitNo, fmt.Errorf("no candidate %s waits at %s: see locked candidates %s", o.to, o.path, o.path)}
	case errors.Is(err, locked.ErrNoCandidate):
		return &exitError{exitNo, fmt.Errorf("nobody waits at %s", o.path)}
	case errors.Is(err, locked.ErrTransferFailed):
		return &exitError{exitNo, err}
	case errors.Is(err, locked.ErrTransferPending):
		return &exitError{exitNotInTime, fmt.Errorf("%w at %s: try again when it is done", err, o.path)}
	case limited.Err() != nil && ctx.Err() == nil && err != nil:
		return &exitError{exitNotInTime, fmt.Errorf("the leader of %s has not handed over within %v: its work goes on", o.path, o.wait)}
	case err != nil:
		return o.conn.explain(err)
	}
	leader, err := l.Leader(ctx, o.path)
	if err != nil {
		return o.conn.explain(err)
	}
	if o.format == jsonForm {
		return printJSON(w, leader)
	}
	_, err = fmt.Fprintf(w, "%s leads %s: token %d\n", leader.ID, leader.Path, leader.Token)
	return err
}
