// Command bench measures ways to elect a leader side by side: locked, what etcd has itself, and what people use on other
// stores. Every figure is taken in turns with the floor of its own store, one committed write and its notification, so
// that the ratios mean something on a busy machine too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/samcday/locked/bench/systems"
)

const help = `Bench measures ways to elect a leader side by side, and prints one table: a row for
each thing that is measured, a column for each system. Each figure is a median, with
its ratio to the floor of its own store (one committed write and its notification,
measured in turns with it) and to that of locked.

It starts an etcd of its own, with fsync on. The other stores are started by peers.sh,
which installs what is missing, runs the command that it is given, and stops what it
started. Without that their columns say that they are missing.`

type options struct {
	quick  bool
	only   []string
	system []string
	output string
	raw    string
	docs   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure ways to elect a leader side by side", Long: help,
		Example: `  go run . --quick
  ./peers.sh go run . --docs ../docs
  go run . --only handover -o json`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.quick, "quick", false, "fewer rounds and smaller crowds: under five minutes, for a first look")
	f.StringSliceVar(&o.only, "only", nil, "measure these `ROWS` alone: "+strings.Join(scenarioNames(), ", "))
	f.StringSliceVar(&o.system, "system", nil, "measure these `SYSTEMS` alone, such as locked")
	f.StringVarP(&o.output, "output", "o", "table", "`FORMAT` of what is printed: table, json or markdown")
	f.StringVar(&o.raw, "raw", "", "keep all samples in this `FILE`; rows that are not measured now stay in it as they are")
	f.StringVar(&o.docs, "docs", "", "write the tables into performance.md in this `DIR`, the plots and samples below benchmarks there")
	cmd.AddCommand(newEtcdCommand(), newWorkerCommand(), newReportCommand())
	return cmd
}

func (o *options) check() error {
	switch o.output {
	case "table", "json", "markdown":
	default:
		return fmt.Errorf("--output %q: must be table, json or markdown", o.output)
	}
	for _, name := range o.only {
		if findScenario(name) == nil {
			return fmt.Errorf("--only %q: must be of %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	for _, name := range o.system {
		if systems.Find(name) == nil {
			return fmt.Errorf("--system %q: there is none of that name", name)
		}
	}
	return nil
}

func newReportCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "report FILE", Short: "Print what was measured before", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			res, err := load(args[0])
			if err != nil {
				return err
			}
			return o.report(cmd.OutOrStdout(), res)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "`FORMAT` of what is printed: table, json or markdown")
	cmd.Flags().StringVar(&o.docs, "docs", "", "write the tables into performance.md in this `DIR`, and the plots below benchmarks there")
	return cmd
}
