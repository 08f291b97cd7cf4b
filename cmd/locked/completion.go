package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
)

// completionPatience is how long a shell waits for names.
const completionPatience = time.Second

// completePath offers the elections that there are.
func (c *connection) completePath(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.offer(func(ctx context.Context, l *locked.Locker) (paths []string) {
		leaders, _ := l.Elections(ctx, begun)
		for _, leader := range leaders {
			paths = append(paths, leader.Path+"\t"+leader.ID+" leads")
		}
		return paths
	})
}

// completeCandidate offers those that wait at the path that was given.
func (c *connection) completeCandidate(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.offer(func(ctx context.Context, l *locked.Locker) (ids []string) {
		candidates, _ := l.Candidates(ctx, args[0])
		for _, candidate := range candidates {
			if candidate.Token == 0 {
				ids = append(ids, candidate.ID+"\twaits")
			}
		}
		return ids
	})
}

// completing reports whether a shell asks for completions.
func completing(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// plain takes the quotes out of what flags are said to do, which name their arguments in the help: a shell would show them.
func plain(cmd *cobra.Command) {
	unquote := func(f *flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.Flags().VisitAll(unquote)
	cmd.PersistentFlags().VisitAll(unquote)
	for _, sub := range cmd.Commands() {
		plain(sub)
	}
}

// completeChoices offers the words that a flag takes, of those whose type lists them.
func completeChoices(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *flag) {
		if words := strings.Split(f.Value.Type(), "|"); len(words) > 1 {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	})
}

// offer asks etcd for names. A shell shows no errors: there are no names then.
func (c *connection) offer(names func(context.Context, *locked.Locker) []string) ([]string, cobra.ShellCompDirective) {
	if c.readEnvironment() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.timeout = completionPatience // whatever the environment says
	l, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	defer l.Close(ctx)
	return names(ctx, l), cobra.ShellCompDirectiveNoFileComp
}
