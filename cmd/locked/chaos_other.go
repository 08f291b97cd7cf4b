//go:build !linux

package main

import "github.com/spf13/cobra"

// newChaosCommand says where it works: faults are made by Linux's signals, clock and control groups.
func newChaosCommand(*connection) *cobra.Command {
	return &cobra.Command{
		Use:     "chaos",
		Short:   "Try elections under faults (on Linux only)",
		Long:    "Chaos makes faults happen to real processes. It needs Linux.",
		Example: "  locked chaos",
		RunE: func(*cobra.Command, []string) error {
			return usagef("chaos needs Linux")
		},
	}
}
