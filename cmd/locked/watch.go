package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

const watchHelp = `Watch prints who is elected, and then each change, until it is interrupted or nobody
reads what it prints. It does not compete.

It prints a line for each event:
  change   somebody is elected, or the elected one changed its value
  vacant   nobody is elected
  error    something went wrong, and is being tried again; of an etcd that cannot be
           reached it says why, once when that begins and then once a minute
  reached  etcd answers again
  ping     the elected one is alive (with -v only)

With --prefix it watches all elections whose paths begin with PATH (without PATH all), also
those that begin later, and says of which each event is. With -o json each line is an
object with kind, path, id, value, token, revision, cause and at; what does not apply is
left out. If etcd cannot be reached to begin with, watch says so and exits; later it keeps
trying.

With --exec it prints nothing, and runs a shell command: for the state as it is, and for each
change, with LOCKED_KIND (change or vacant), LOCKED_PATH, LOCKED_ID, LOCKED_VALUE and
LOCKED_TOKEN. One runs at a time; of changes that come meanwhile only the latest counts.`

type watchOptions struct {
	conn    *connection
	format  format
	verbose bool
	prefix  bool
	exec    string
	path    string
}

func newWatchCommand(conn *connection) *cobra.Command {
	o := &watchOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "watch [PATH]",
		Short: "Print who is elected, and each change",
		Long:  watchHelp,
		Example: `  locked watch /web
  locked watch /web -o json | jq -r 'select(.kind == "change") | .value'
  locked watch / --prefix
  locked watch /web --exec 'echo "server $LOCKED_VALUE;" >upstream.conf && nginx -s reload'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.prefix && len(args) == 0 { // all
				return nil
			}
			return onePath(cmd, args)
		},
		ValidArgsFunction: conn.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("exec") && o.exec == "" {
				return usagef("--exec must not be empty")
			}
			if len(args) > 0 {
				o.path = args[0]
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.format.addTo(f)
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print pings too")
	f.BoolVar(&o.prefix, "prefix", false, "watch all elections whose paths begin with PATH")
	f.StringVar(&o.exec, "exec", "", "shell `COMMAND` to run at each change, instead of printing")
	return cmd
}

func (o *watchOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	client, l, err := o.conn.openBoth()
	if err != nil {
		return err
	}
	defer client.Close()
	defer l.Close(context.WithoutCancel(ctx)) // it has no nodes that could fail to stop
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	if o.exec == "" {
		whenUnread(ctx, stdout, giveUp)
	}
	events, err := o.events(ctx, client, l)
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	if o.exec != "" {
		r := &reactor{command: o.exec, env: o.conn.environment(), stdout: stdout, stderr: stderr, log: new(logging).logger(stderr)}
		r.run(ctx, events, o.conn.trouble(l, o.path, locked.DefaultTTL, o.stake))
		return nil
	}
	p := &eventPrinter{w: stdout, format: o.format, all: o.verbose, paths: o.prefix}
	return p.follow(ctx, events, o.conn.trouble(l, o.path, locked.DefaultTTL, o.stake), giveUp)
}

// stake says what an etcd that is away means to those who watch.
func (o *watchOptions) stake() string { return "what was told last may not be true any more" }

// events begins to watch, after it was seen that this can work.
func (o *watchOptions) events(ctx context.Context, client *clientv3.Client, l *locked.Locker) (<-chan locked.Event, error) {
	if o.prefix {
		if _, err := standings(ctx, client, o.conn, o.path); err != nil {
			return nil, err
		}
		return watchPrefix(ctx, client, l, o.conn, o.path), nil
	}
	if _, err := l.Leader(ctx, o.path); err != nil && !errors.Is(err, locked.ErrNoLeader) {
		return nil, o.conn.explain(err)
	}
	return l.Watch(ctx, o.path), nil
}

// unlessInterrupted gives no error for a command that is meant to be interrupted, and was.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
