package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/guard"
	"github.com/samcday/locked/cmd/internal/span"
	"github.com/samcday/locked/cmd/internal/supervise"
)

const runHelp = `Run competes for PATH, and runs CMD while it is elected: one CMD at a time, among all that
run one for that PATH. When CMD ends it hands over at once, and exits with CMD's code, or
128 and the number of the signal that killed it.

CMD gets standard input, output and error, and the terminal if there is one. It gets the
signals that run gets: INT, TERM, HUP, QUIT, USR1, USR2 and WINCH; run itself ends when
CMD does. Its environment tells of the term: LOCKED_PATH, LOCKED_ID, LOCKED_VALUE,
LOCKED_TOKEN (larger than that of every earlier term) and LOCKED_TTL (in seconds).

When leadership is lost CMD gets TERM, and after --grace KILL, with everything that it has
started: all are dead before anybody else can be elected. So they are when run is killed
(kill -9), stopped (kill -STOP) or starved: a guard process holds the deadline. What CMD
leaves behind when it ends is ended too, so it must stay in the foreground.`

type runOptions struct {
	conn         *connection
	log          logging
	path         string
	node         locked.NodeConfig
	wait         time.Duration
	try, restart bool
	check        string
	value        valueOptions
	healthAddr   string
	notify       bool
	command      []string
}

func newRunCommand(conn *connection) *cobra.Command {
	o := &runOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "run PATH [flags] -- CMD [ARG...]",
		Short: "Run a program while elected, and nowhere else at the same time",
		Long:  runHelp,
		Example: `  locked run /jobs/billing -- ./billing --port 8080
  locked run /cron/backup --try -- /usr/local/bin/backup    # or not at all: exit code 75
  locked run /db/primary --restart --check 'pg_isready -q' --value-file /etc/db.addr -- ./promote
  locked run /shell -- bash`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at == 1 && len(args) > 1 {
				return nil
			}
			return usagef("run takes one PATH, and after -- a program to run: see %s --help", cmd.CommandPath())
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 { // CMD and its arguments
				return nil, cobra.ShellCompDirectiveDefault
			}
			return conn.completePath(cmd, args, begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.path, o.command = args[0], args[1:]
			if err := o.checkFlags(cmd.Flags().Changed); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.node.ID, "id", "", "`NAME` of this node, which no other candidate has (default the host's name with something random behind it)")
	o.value.addTo(f)
	span.Var(f, &o.node.TTL, "ttl", locked.DefaultTTL, "how long after its last sign of life it is replaced, in whole seconds")
	span.Var(f, &o.node.Grace, "grace", 0, "how long CMD may take to end after TERM, at most a third of the TTL (default a fifth)")
	span.Var(f, &o.wait, "wait", 0, "give up after this time, with exit code 75 (default wait for ever)")
	f.BoolVar(&o.try, "try", false, "do not wait for others at all: give up with exit code 75 when somebody leads")
	f.BoolVar(&o.restart, "restart", false, "compete again when CMD has ended or leadership was lost, until INT or TERM")
	f.StringVar(&o.check, "check", "", "shell `COMMAND` that must succeed, within half a TTL, for this node to compete and to lead")
	f.IntVar(&o.node.CheckFailures, "check-failures", 3, "how many checks in a row, of two in a TTL, must fail before leadership is given up")
	f.StringVar(&o.healthAddr, "health-addr", "", "`HOST:PORT` for HTTP: /leader (200 or 503), /healthz, /metrics")
	f.BoolVar(&o.notify, "notify", false, "tell systemd (Type=notify) when it waits or leads")
	o.log.addTo(f, "log what happens")
	return cmd
}

func (o *runOptions) checkFlags(given func(flag string) bool) error {
	switch {
	case given("id") && o.node.ID == "":
		return usagef("--id must not be empty: leave it out for a random one")
	case o.node.TTL == 0:
		return usagef("--ttl must be from %v to %v", locked.MinTTL, locked.MaxTTL)
	case given("grace") && o.node.Grace <= 0:
		return usagef("--grace must be more than 0: leave it out for a fifth of the TTL")
	case given("wait") && o.wait <= 0:
		return usagef("--wait must be more than 0: leave it out to wait for ever, or give --try not to wait")
	case o.try && given("wait"):
		return usagef("--try and --wait cannot be given together: --try waits for nobody")
	case o.try && o.restart:
		return usagef("--try and --restart cannot be given together: --try runs CMD now or never")
	case given("check") && o.check == "":
		return usagef("--check must not be empty")
	case o.node.CheckFailures < 1:
		return usagef("--check-failures must be 1 or more")
	case given("check-failures") && o.check == "":
		return usagef("--check-failures is for a --check, and none is given")
	}
	return o.value.check(given)
}

// run finds out everything that can be wrong before it competes.
func (o *runOptions) run(ctx context.Context) error {
	program, err := lookUp(o.command[0])
	if err != nil {
		return err
	}
	log, flush := o.log.detached(os.Stderr)
	defer flush()
	var options []locked.Option
	if o.log.verbose {
		options = append(options, locked.WithLogger(spare(log)))
	}
	l, err := o.conn.open(options...)
	if err != nil {
		return err
	}
	defer abandon(l) // everything was handed over by then, if it could be
	cfg := supervise.Config{
		Locker: l, Path: o.path, Node: o.node, Program: program, Args: o.command, Env: o.conn.environment(o.notSystemd()...), Guard: o.guardCommand(),
		Wait: o.wait, Try: o.try, Restart: o.restart, Check: o.check, Notify: o.notify, Log: log,
		Diagnose: o.conn.etcd().Diagnose,
	}
	if cfg.Node.Value, cfg.Value, err = o.value.resolve(ctx, cfg.Env); err != nil {
		return err
	}
	r, err := supervise.New(cfg)
	if err != nil {
		return err
	}
	if o.healthAddr != "" {
		s, err := serveHealth(o.healthAddr, l, r.Node())
		if err != nil {
			return err
		}
		defer s.Close()
	}
	result, err := r.Do(ctx)
	return o.outcome(result, err)
}

// notSystemd names what is for run alone when it talks to systemd itself.
func (o *runOptions) notSystemd() []string {
	if !o.notify {
		return nil
	}
	return []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
}

// lookUp finds the program, as a shell does.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, os.ErrPermission):
		return "", &exitError{exitCannotRun, fmt.Errorf("%s cannot be executed: permission denied", name)}
	case errors.Is(err, syscall.EISDIR):
		return "", &exitError{exitCannotRun, fmt.Errorf("%s cannot be executed: it is a directory", name)}
	}
	return "", &exitError{exitNoCommand, fmt.Errorf("%s was not found: give a path to it, or see to PATH", name)}
}

// outcome maps how a run ended to an exit code.
func (o *runOptions) outcome(result guard.Result, err error) error {
	var interrupted supervise.Interrupted
	switch {
	case errors.As(err, &interrupted):
		return &exitError{signalled(interrupted.Signal), silent{err}}
	case errors.Is(err, supervise.ErrNotInTime) && o.try && !o.log.verbose:
		return &exitError{exitNotInTime, silent{err}} // cron would send a mail
	case errors.Is(err, supervise.ErrNotInTime):
		return &exitError{exitNotInTime, err}
	case errors.Is(err, supervise.ErrLost):
		return &exitError{exitLost, err}
	case errors.Is(err, supervise.ErrNoGuard):
		return err
	case err != nil:
		return o.conn.explain(err)
	case result.Error != "" && result.NotFound:
		return &exitError{exitNoCommand, errors.New(result.Error)}
	case result.Error != "":
		return &exitError{exitCannotRun, errors.New(result.Error)}
	case result.Code < 0:
		return fmt.Errorf("%s has ended, and it is not known how", o.command[0])
	case result.Code != 0:
		return &exitError{result.Code, silent{fmt.Errorf("%s: %v", o.command[0], result)}}
	}
	return nil
}
