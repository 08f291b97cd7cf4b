//go:build linux

// Command suspend shows what a leader believes whose machine was suspended, and one whose machine was paused together with
// all its clocks. It is started by run.sh, twice: as the guest, which is the leader in a virtual machine, and as the judge,
// which owns the machine, etcd and a rival.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

const (
	path     = "/suspend"
	fenced   = "/suspend-fenced"   // written through terms
	unfenced = "/suspend-unfenced" // written without a fence
	ttl      = 3 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "suspend:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "guest":
		return guest(ctx, args[1])
	case len(args) > 0 && args[0] == "judge":
		var j judge
		f := flag.NewFlagSet("judge", flag.ContinueOnError)
		f.StringVar(&j.kernel, "kernel", "", "kernel of the machine")
		f.StringVar(&j.initrd, "initrd", "", "its root file system")
		f.IntVar(&j.rounds, "rounds", 1, "how often to do everything")
		if err := f.Parse(args[1:]); err != nil {
			return err
		}
		return j.run(ctx)
	}
	return errors.New("start run.sh")
}
