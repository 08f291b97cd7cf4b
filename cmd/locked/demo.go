package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/samcday/locked/cmd/internal/demo"
)

const demoHelp = `Demo starts an etcd inside this process and three candidates as processes of their own,
and tells, in about twenty seconds, what happens to them: a first election, a value that
everybody reads, a handover, a crash, a leader that is cut off, and its return. All times
are measured as it runs. If anything comes out otherwise than promised, it says so and
exits with 1.

It listens on this machine only, on free ports, and leaves nothing behind. With --keep
everything goes on running after the story, to play with, until it is interrupted.`

type demoOptions struct{ keep bool }

func newDemoCommand(*connection) *cobra.Command {
	o := new(demoOptions)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: three processes, one leader, nothing else needed",
		Long:  demoHelp,
		Example: `  locked demo
  locked demo --keep`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&o.keep, "keep", false, "leave everything running after the story, until interrupted")
	return withoutConnection(cmd, "it starts an etcd of its own")
}

func (o *demoOptions) run(ctx context.Context, w io.Writer) error {
	err := demo.Run(ctx, w, o.keep)
	var broken *demo.BrokenError
	if errors.As(err, &broken) {
		return &exitError{exitNo, err}
	}
	return err
}
