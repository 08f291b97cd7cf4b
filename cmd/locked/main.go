// Command locked elects a leader among processes, on etcd v3. "locked help" tells the rest, and "locked demo" shows it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

// run runs the command and gives its exit code.
func run(args []string) int {
	ctx, stop := untilSignal()
	defer stop()
	root := newRootCommand()
	if completing(args) {
		plain(root)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if text := errorText(err); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	return exitCode(err)
}

// untilSignal gives a context that ends when the process is asked to end. The second time, if that
// is more than a second later, it ends by itself, at once: timeout(1) and others ask twice in a row.
func untilSignal() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	// Without this the first write that nobody reads would kill us, before anything is handed over.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, stop
}
