package main

import (
	"os"
	"slices"
	"strings"

	"github.com/samcday/locked/cmd/internal/supervise"
)

// environment is what a program that we start gets from us, besides what tells of an election. Connection flags are handed
// on as variables, so that a locked command in the program talks to the same etcd; a password is handed on only if it came
// that way. Variables of an election are not inherited, nor those of the names given.
func (c *connection) environment(without ...string) []string {
	without = slices.Concat(without, supervise.Variables)
	var given []string
	c.flags.VisitAll(func(f *flag) {
		if f.Changed && f.Name != "user" && f.Name != "password" {
			name := "LOCKED_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			without = append(without, name)
			given = append(given, name+"="+f.Value.String())
		}
	})
	return append(supervise.Environment(os.Environ(), without...), given...)
}
