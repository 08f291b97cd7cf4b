package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionPatience is how long a shell waits for the names of elections.
const completionPatience = time.Second

// completePath offers the elections that there are.
func (c *connection) completePath(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || c.readEnvironment() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.timeout = completionPatience
	l, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	defer l.Close(ctx)
	leaders, _ := l.Elections(ctx, begun) // a shell shows no errors
	var paths []string
	for _, leader := range leaders {
		paths = append(paths, leader.Path+"\t"+leader.ID+" leads")
	}
	return paths, cobra.ShellCompDirectiveNoFileComp
}

// completeCandidate offers those that wait at the path that was given.
func (c *connection) completeCandidate(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 || c.readEnvironment() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.timeout = completionPatience
	l, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	defer l.Close(ctx)
	candidates, _ := l.Candidates(ctx, args[0])
	var ids []string
	for _, candidate := range candidates {
		if candidate.Token == 0 {
			ids = append(ids, candidate.ID+"\twaits")
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
