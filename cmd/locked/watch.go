package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
)

const watchHelp = `Watch prints who is elected, and then each change, until it is interrupted or nobody
reads what it prints. It does not compete.

It prints a line for each event:
  change   somebody is elected, or the elected one changed its value
  vacant   nobody is elected
  error    something went wrong, and is being tried again
  ping     the elected one is alive (with -v only)

With -o json each line is an object with kind, path, id, value, token, revision,
cause and at; what does not apply is left out. If etcd cannot be reached to begin
with, watch says so and exits; later it keeps trying.`

type watchOptions struct {
	conn    *connection
	format  format
	verbose bool
	path    string
}

func newWatchCommand(conn *connection) *cobra.Command {
	o := &watchOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "watch PATH",
		Short: "Print who is elected, and each change",
		Long:  watchHelp,
		Example: `  locked watch /web
  locked watch /web -o json | jq -r 'select(.kind == "change") | .value'`,
		Args: onePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.path = args[0]
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	o.format.addTo(cmd.Flags())
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "print pings too")
	return cmd
}

func (o *watchOptions) run(ctx context.Context, w io.Writer) error {
	l, err := o.conn.open()
	if err != nil {
		return err
	}
	defer l.Close(context.WithoutCancel(ctx)) // it has no nodes that could fail to stop
	if _, err := l.Leader(ctx, o.path); err != nil && !errors.Is(err, locked.ErrNoLeader) {
		return unlessInterrupted(ctx, o.conn.explain(err))
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	p := &eventPrinter{w: w, format: o.format, all: o.verbose}
	return p.printAll(l.Watch(ctx, o.path), giveUp)
}

// unlessInterrupted gives no error for a command that is meant to be interrupted, and was.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
