package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/samcday/locked/cmd/internal/supervise"
)

// valueOptions say what a candidate announces, and whether that follows something.
type valueOptions struct{ value, file, command string }

func (o *valueOptions) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.value, "value", "", "what it announces when elected, such as an address (default the host's name)")
	f.StringVar(&o.file, "value-file", "", "`FILE` with the value, read again every second and on HUP")
	f.StringVar(&o.command, "value-command", "", "shell `COMMAND` that prints the value, run again every second and on HUP")
}

func (o *valueOptions) check(given func(flag string) bool) error {
	kinds := 0
	for _, flag := range []string{"value", "value-file", "value-command"} {
		if given(flag) {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return usagef("only one of --value, --value-file and --value-command can be given")
	case given("value") && o.value == "":
		return usagef("--value must not be empty: leave it out for the host's name")
	case given("value-file") && o.file == "":
		return usagef("--value-file must not be empty")
	case given("value-command") && o.command == "":
		return usagef("--value-command must not be empty")
	}
	return nil
}

// resolve gives the value to begin with, and what it follows, if anything.
func (o *valueOptions) resolve(ctx context.Context, env []string) (string, supervise.Source, error) {
	var source supervise.Source
	switch {
	case o.file != "":
		source = supervise.File(o.file)
	case o.command != "":
		source = supervise.Output(o.command, env)
	case o.value != "":
		return o.value, nil, nil
	default:
		host, err := os.Hostname()
		if err != nil {
			return "", nil, usagef("--value is needed, as this host has no name: %w", err)
		}
		return host, nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, supervise.SourcePatience)
	defer cancel()
	value, err := source(limited)
	if ctx.Err() != nil {
		return "", nil, ctx.Err()
	}
	if err != nil {
		return "", nil, usagef("there is no value: %w", err)
	}
	return value, source, nil
}
