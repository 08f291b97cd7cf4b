package main

import (
	"os"
	"strings"

	"github.com/samcday/locked/internal/supervise"
)

// environment is what CMD gets besides what tells of its term. Connection flags are handed on as variables, so that a
// locked command in CMD talks to the same etcd; a password is handed on only if it came that way.
func (o *runOptions) environment() []string {
	without := supervise.Variables
	if o.notify {
		without = append(without[:len(without):len(without)], "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
	}
	var given []string
	o.conn.flags.VisitAll(func(f *flag) {
		if f.Changed && f.Name != "user" && f.Name != "password" {
			name := "LOCKED_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			without = append(without[:len(without):len(without)], name)
			given = append(given, name+"="+f.Value.String())
		}
	})
	return append(supervise.Environment(os.Environ(), without...), given...)
}
