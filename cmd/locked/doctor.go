package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	terminal "golang.org/x/term"

	"github.com/samcday/locked/cmd/internal/doctor"
)

const doctorHelp = `Doctor looks whether elections can work here: whether each endpoint that was given answers;
whether a majority of etcd's members commits an entry, one that changes nothing; whether
each member answers, how quickly, and whether they agree on a leader; what is known to be
wrong with their versions; alarms and the size of the database; leases; and, on Linux, the
rate of this machine's clock. With PATH it also looks whether this user may compete there,
and whether candidates there have the same id.
It changes nothing that others see.

It exits with 0 if nothing fails, though it may warn; with 1 if a majority takes part but a
check fails: elections may go on all the same, as when one endpoint or member of three is
dead; with 69 if there is no majority, and then it does not try what needs one; and with 77
if etcd refuses the user, or asks for one.
With -o json each line is an object with check, status (ok, warn, fail), detail and fix.`

type doctorOptions struct {
	conn   *connection
	format format
	path   string
}

func newDoctorCommand(conn *connection) *cobra.Command {
	o := &doctorOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "doctor [PATH]",
		Short: "Find out what is wrong with etcd, permissions or the clock, and how to mend it",
		Long:  doctorHelp,
		Example: `  locked doctor
  locked doctor /web --user app:secret
  locked doctor -o json | jq 'select(.status != "ok")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return onePath(cmd, args)
		},
		ValidArgsFunction: conn.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.path = args[0]
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	o.format.addTo(cmd.Flags())
	return cmd
}

func (o *doctorOptions) run(ctx context.Context, w io.Writer) error {
	client, l, err := o.conn.openBoth()
	if err != nil {
		return err
	}
	defer client.Close()
	defer l.Close(ctx) // it has no nodes that could fail to stop
	x := &doctor.Examination{Etcd: o.conn.etcd(), Client: client, Locker: l, Path: o.path, Tell: o.printer(w)}
	failed, err := x.Run(ctx)
	if err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{exitNo, silent{fmt.Errorf("%d checks have failed", failed)}}
	}
	return nil
}

// printer tells findings as they come. Colours are for terminals whose user has not said NO_COLOR.
func (o *doctorOptions) printer(w io.Writer) func(doctor.Finding) error {
	colours := map[string]string{"ok": "32", "warn": "33", "fail": "31"}
	f, isFile := w.(*os.File)
	if !isFile || !terminal.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" {
		colours = nil
	}
	fix := ""
	return func(f doctor.Finding) error {
		if o.format == jsonForm {
			return printJSON(w, f)
		}
		status := fmt.Sprintf("%-4s", f.Status)
		if c := colours[f.Status]; c != "" {
			status = "\x1b[" + c + "m" + status + "\x1b[0m"
		}
		_, err := fmt.Fprintf(w, "%s  %-11s %s\n", status, f.Check, f.Detail)
		if f.Fix != "" && f.Fix != fix && err == nil { // what mends several in a row is told once
			_, err = fmt.Fprintf(w, "%17s %s\n", "", "→ "+f.Fix)
		}
		fix = f.Fix
		return err
	}
}
