package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/samcday/locked/cmd/internal/guard"
)

// newGuardCommand is the process that "locked run" puts between itself and CMD.
func newGuardCommand() *cobra.Command {
	var log logging
	cmd := &cobra.Command{
		Use:    "guard PATH",
		Short:  "Used by locked run: holds the deadline of its program",
		Hidden: true,
		Args:   onePath,
		RunE: func(_ *cobra.Command, args []string) error {
			detached, flush := log.detached(os.Stderr)
			defer flush()
			if err := guard.Main(detached.With("path", args[0])); err != nil {
				return usagef("%w: see locked run --help", err)
			}
			return nil
		},
	}
	log.addTo(cmd.Flags(), "log what happens")
	return withoutConnection(cmd, "it asks nobody")
}

// guardCommand makes this binary such a process. The path is for those who look at a list of processes.
func (o *runOptions) guardCommand() []string {
	command := []string{"locked", "guard", "--log-format", o.log.format.String()}
	if o.log.verbose {
		command = append(command, "--verbose")
	}
	return append(command, "--", o.path)
}
