package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `locked elects a leader among processes, on etcd v3.

Candidates compete for a PATH. One of them is elected at a time, the others wait
in a queue, first come, first served. The etcd key PATH holds "ID:::VALUE" of the
elected one, for any etcd client to read. PATH is taken as it stands: web and /web
are two elections. (In the URLs of the agent, web is the election /web.) A length of
time is written as 10s or 1m30s, or as a whole number of seconds.

Environment:
  A connection flag that is not given is taken from the variable LOCKED_<FLAG>, or
  else ETCDCTL_<FLAG>: LOCKED_ENDPOINTS, ETCDCTL_CACERT and so on. Other flags do
  not read the environment.

Exit codes:
    n  run: CMD's own, or 128 and the number of the signal that ended CMD or the waiting
`

const rootExample = `  locked demo                     see it work, with nothing else needed
  locked server                   run an etcd here, to try things with
  locked run /jobs/billing -- ./billing
  locked campaign /web --value 10.0.0.1:80
  locked get /web
  locked watch /web -o json`

// newRootCommand puts the whole command together.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "locked",
		Short:         "Elect a leader among processes, on etcd v3",
		Long:          rootHelp + exitHelp(),
		Example:       rootExample,
		SilenceErrors: true, // main tells them, once
		SilenceUsage:  true,

		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q%s: see locked help", args[0], suggestions(cmd, args[0]))
			}
			return nil
		},
	}
	version := root.Flags().Bool("version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			return new(versionOptions).run(cmd.OutOrStdout())
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w: see %s --help", err, cmd.CommandPath())
	})
	conn := newConnection()
	root.PersistentFlags().AddFlagSet(conn.flags)
	root.AddCommand(
		newRunCommand(conn),
		newGuardCommand(),
		newCampaignCommand(conn),
		newWatchCommand(conn),
		newGetCommand(conn),
		newListCommand(conn),
		newCandidatesCommand(conn),
		newTransferCommand(conn),
		newAgentCommand(conn),
		newServerCommand(conn),
		newDoctorCommand(conn),
		newDemoCommand(conn),
		newChaosCommand(conn),
		newVersionCommand(),
	)
	for _, cmd := range root.Commands() {
		completeChoices(cmd)
	}
	addCobras(root)
	return root
}

// addCobras adds the commands that cobra brings along. They refuse what they do not know, where cobra would print help.
func addCobras(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Example = "  locked help run"
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, _ := root.Find(args); found == root {
					return root.Args(root, rest)
				}
				return nil
			}
		case "completion":
			cmd.Example = "  source <(locked completion bash)"
			cmd.Args = cobra.ArbitraryArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error {
				return usagef("completion takes the name of a shell: bash, zsh, fish or powershell: see %s --help", cmd.CommandPath())
			}
		}
	}
}

func suggestions(cmd *cobra.Command, name string) string {
	cmd.SuggestionsMinimumDistance = 2
	if list := cmd.SuggestionsFor(name); len(list) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(list, " or "))
	}
	return ""
}

// onePath takes the argument of the commands that are about one election.
func onePath(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one PATH, and was given %d: see %s --help", cmd.Name(), len(args), cmd.CommandPath())
	}
	return nil
}

// nothing takes no arguments.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, and was given %q: see %s --help", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

// withoutConnection makes a command refuse the connection flags, and not mention them in its help.
func withoutConnection(cmd *cobra.Command, why string) *cobra.Command {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		cmd.InheritedFlags().VisitAll(func(f *flag) {
			if f.Changed {
				err = errors.Join(err, usagef("%s does not take --%s: %s", cmd.Name(), f.Name, why))
			}
		})
		return err
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		cmd.InheritedFlags().VisitAll(func(f *flag) { f.Hidden = true })
		cmd.Root().HelpFunc()(cmd, args)
	})
	return cmd
}
