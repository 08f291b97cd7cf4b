package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/span"
)

const campaignHelp = `Campaign competes for PATH until it is interrupted (INT, TERM or HUP) or nobody reads
what it prints. Then it leaves: if it leads it hands over to the next in line, in one
step. If etcd cannot be reached to begin with it says so and exits; later it keeps
trying, and competes again by itself.

It prints a line for each event:
  select    this node is elected
  deselect  it is not any more, and why
  change    somebody is elected, or the elected one changed its value
  vacant    nobody is elected
  error     something went wrong, and is being tried again; of an etcd that cannot be
            reached it says why, once when that begins and then once a minute
  reached   etcd answers again
  refresh   this node is elected and has renewed its lease (with -v only)
  ping      the elected one is alive (with -v only)

With -o json each line is an object with kind, path, id, value, token, revision,
cause and at; what does not apply is left out.`

type campaignOptions struct {
	conn       *connection
	format     format
	verbose    bool
	stopOnEOF  bool
	path       string
	id, value  string
	ttl, grace time.Duration
}

func newCampaignCommand(conn *connection) *cobra.Command {
	o := &campaignOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "campaign PATH",
		Short: "Compete for a path until interrupted",
		Long:  campaignHelp,
		Example: `  locked campaign /web --value 10.0.0.1:80
  locked campaign /web --id web-1 --value 10.0.0.1:80 --ttl 5s -o json`,
		Args:              onePath,
		ValidArgsFunction: conn.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.path = args[0]
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.id, "id", "", "`NAME` of this node, which no other candidate has (default the host's name with something random behind it)")
	f.StringVar(&o.value, "value", "", "what it announces when elected, such as an address (default the host's name)")
	span.Var(f, &o.ttl, "ttl", locked.DefaultTTL, "how long after its last sign of life it is replaced, in whole seconds")
	span.Var(f, &o.grace, "grace", 0, "how long before it can be replaced it stops believing to lead (default a fifth of the TTL)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print refreshes and pings too")
	f.BoolVar(&o.stopOnEOF, "stop-on-eof", false, "leave when standard input ends")
	_ = f.MarkHidden("stop-on-eof") // for a parent that runs candidates: they must not outlive it
	o.format.addTo(f)
	return cmd
}

// check refuses what would otherwise mean a default that was not asked for, as with a shell variable that is not set.
func (o *campaignOptions) check(given func(flag string) bool) error {
	switch {
	case given("id") && o.id == "":
		return usagef("--id must not be empty: leave it out for a random one")
	case given("value") && o.value == "":
		return usagef("--value must not be empty: leave it out for the host's name")
	case o.ttl == 0:
		return usagef("--ttl must be from %v to %v", locked.MinTTL, locked.MaxTTL)
	case given("grace") && o.grace <= 0:
		return usagef("--grace must be more than 0: leave it out for a fifth of the TTL")
	}
	if o.value == "" {
		host, err := os.Hostname()
		if err != nil {
			return usagef("--value is needed, as this host has no name: %w", err)
		}
		o.value = host
	}
	return nil
}

func (o *campaignOptions) run(ctx context.Context, stdin io.Reader, w io.Writer) error {
	l, err := o.conn.open()
	if err != nil {
		return err
	}
	node, err := l.Node(o.path, locked.NodeConfig{ID: o.id, Value: o.value, TTL: o.ttl, Grace: o.grace})
	if err != nil {
		_ = l.Close(ctx)
		return err
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	if o.stopOnEOF {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			giveUp()
		}()
	}
	listening, quiet := context.WithCancel(context.WithoutCancel(ctx))
	defer quiet()
	p := &eventPrinter{w: w, format: o.format, all: o.verbose}
	printed := make(chan error, 1)
	events := node.Events(listening)
	whenUnread(ctx, w, giveUp)
	go func() {
		printed <- p.follow(listening, events, o.conn.trouble(l, o.path, node.Config().TTL, stake(node)), giveUp)
	}()

	var left error
	if err = node.Start(ctx); err == nil {
		<-ctx.Done()
		left = o.leave(l, node)
	} else {
		err = unlessInterrupted(ctx, o.conn.explain(err))
		abandon(l)
	}
	quiet()
	for _, e := range []error{<-printed, err, left} {
		if e != nil {
			return e
		}
	}
	return nil
}

// stake says what an etcd that is away puts at stake for a candidate, now.
func stake(node *locked.Node) func() string {
	return func() string {
		if left := node.Remaining(); left > 0 {
			return fmt.Sprintf("%s leads until %s at the longest", node.LocalID(), time.Now().Add(left).Format("15:04:05"))
		}
		return node.LocalID() + " does not lead, and competes again when it answers"
	}
}

// abandon ends a campaign that did not get as far as the queue: there is nothing to hand over.
func abandon(l *locked.Locker) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.Close(ctx) // what is left in etcd, if anything, goes with its lease
}

// leave hands over and ends everything, in bounded time.
func (o *campaignOptions) leave(l *locked.Locker, node *locked.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.conn.timeout)
	defer cancel()
	err := node.Stop(ctx)
	_ = l.Close(ctx) // it tells nothing that Stop has not told
	if err != nil {
		return &exitError{exitUnreachable, fmt.Errorf("etcd did not confirm within %v that %s left %s: "+
			"if it has not, the next in line is elected when its lease ends", o.conn.timeout, node.LocalID(), o.path)}
	}
	return nil
}
