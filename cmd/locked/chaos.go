//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/sys/unix"

	"github.com/samcday/locked/cmd/internal/chaos"
	"github.com/samcday/locked/cmd/internal/span"
	"github.com/samcday/locked/internal/server/cluster"
	"github.com/samcday/locked/internal/server/etcdproc"
)

const chaosHelp = `Chaos makes faults happen to real processes, and finds out whether elections keep their
promises meanwhile. It starts an etcd of three members and six candidates, each a process
of its own, with links between all of them that can be cut, slowed down or made to deliver
late. What the candidates believed and wrote, and the whole history of etcd, are written
down and checked by code that neither uses nor trusts the library:

  one leader at a time; belief ends before the term; tokens grow; fenced writes are done in
  their own term, and none that was acknowledged is lost; first come, first served; no gap
  when a leader leaves; a leader again within a bound; the fenced register and the election
  as a lock are linearizable (by Porcupine).

The seed decides what happens to whom; the moments depend on the machine. A fault hits if
something showed that: a lost term, held back messages, another leader of etcd. --report
writes a page with a picture of who believed to lead when.

With --against concurrency the candidates use etcd's own Election, under the same faults.
With --break a rule is broken on purpose, on the wire between each candidate and etcd, to
see that it is found out; that ends the run.

`

const chaosExits = `
With --etcd the members of etcd are another release, or a build of your own.

With --endpoints it uses an etcd that is there for tests, without TLS and users, and leaves
out the faults of members. It writes below /locked-chaos/ and compacts the history of the
whole etcd, so it wants --this-is-a-test-cluster too.

It needs Linux. Exit codes: 0 all promises were kept, 1 one was broken (with --break: found
out), 2 unknown, as too little happened.`

type chaosOptions struct {
	chaos.Options
	format    format
	report    string
	etcd      string
	endpoints string
	testing   bool
}

func newChaosCommand(conn *connection) *cobra.Command {
	o := new(chaosOptions)
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Try elections under faults: processes killed and stopped, networks cut",
		Long:  chaosHelp + ruleHelp() + chaosExits,
		Example: `  locked chaos
  locked chaos --duration 10m --seed 1 --report chaos.html
  locked chaos --duration 10m --seed 1 --against concurrency
  locked chaos --break fence
  locked chaos --etcd /usr/bin/etcd`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			if cmd.Flags().Changed("etcd") {
				var err error
				if o.Etcd, err = etcdproc.Look(cmd.Context(), o.etcd); err != nil {
					return usagef("--etcd: %w", err)
				}
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	span.Var(f, &o.Duration, "duration", time.Minute, "how long faults are made")
	f.Uint64Var(&o.Seed, "seed", 0, "decides which faults are made, in which order (default a random one, which is told)")
	f.StringVar(&o.Against, "against", "", "`SYSTEM` to try instead of locked: concurrency is etcd's own Election")
	f.StringVar(&o.Break, "break", "", "`RULE` to break on purpose")
	span.Var(f, &o.TTL, "ttl", chaos.DefaultTTL, "of the candidates' leases")
	f.IntVar(&o.Elections, "elections", chaos.DefaultElections, "how many, in each of which all candidates compete")
	f.StringVar(&o.report, "report", "", "`FILE` to write a page (HTML) to that shows what happened")
	f.StringVar(&o.etcd, "etcd", "", "etcd program that the members run, a `FILE` (default the etcd built in)")
	f.StringVar(&o.endpoints, "endpoints", "", "an etcd that is there for tests: `HOST:PORT,...`")
	f.BoolVar(&o.testing, "this-is-a-test-cluster", false, "nobody else needs what is in the etcd of --endpoints")
	o.format.addTo(f)
	cmd.AddCommand(newRoleCommand("member", func(in io.Reader, out io.Writer) error { return cluster.RunMember(in, out) }),
		newRoleCommand("candidate", func(in io.Reader, _ io.Writer) error { return chaos.RunCandidate(in) }))
	return withoutConnection(cmd, "it starts an etcd of its own, or see its --endpoints")
}

// newRoleCommand is a command for the processes that chaos starts.
func newRoleCommand(name string, run func(io.Reader, io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
}

// ruleHelp lists the rules that can be broken.
func ruleHelp() string {
	var b strings.Builder
	b.WriteString("Rules, and what breaking them shows:\n")
	for _, r := range chaos.Rules {
		fmt.Fprintf(&b, "  %-10s %s:\n             %s\n", r.Name, r.Broken, r.Promise)
	}
	return b.String()
}

func (o *chaosOptions) check(given func(flag string) bool) error {
	rule, known := chaos.RuleNamed(o.Break)
	switch {
	case o.Duration < time.Second || o.Duration > 24*time.Hour:
		return usagef("--duration %v: must be from 1s to 24h", o.Duration)
	case o.Against != "" && o.Against != chaos.AgainstConcurrency:
		return usagef("--against %q: must be %s", o.Against, chaos.AgainstConcurrency)
	case o.Break != "" && !known:
		return usagef("--break %q: no such rule, see locked chaos --help", o.Break)
	case o.Break != "" && o.Against != "":
		return usagef("--break is about locked: it does not go with --against")
	case o.TTL < 2*time.Second || o.TTL > time.Minute || o.TTL%time.Second != 0:
		return usagef("--ttl %v: must be from 2s to 1m, in whole seconds", o.TTL)
	case o.Elections < 1 || o.Elections > 100:
		return usagef("--elections %d: must be from 1 to 100", o.Elections)
	case given("etcd") && given("endpoints"):
		return usagef("--etcd is for members that are started here: it does not go with --endpoints")
	case given("endpoints") && !o.testing:
		return usagef("--endpoints: this writes to that etcd and compacts its history, so say --this-is-a-test-cluster if it is one")
	}
	if rule.TTL != 0 && !given("ttl") {
		o.TTL = rule.TTL
	}
	if !given("seed") {
		o.Seed = rand.Uint64N(1_000_000)
	}
	if given("endpoints") {
		return o.splitEndpoints()
	}
	return nil
}

func (o *chaosOptions) splitEndpoints() error {
	for e := range strings.SplitSeq(o.endpoints, ",") {
		e = strings.TrimPrefix(strings.TrimSpace(e), "http://")
		if e == "" || strings.Contains(e, "/") || !strings.Contains(e, ":") {
			return usagef("--endpoints %q: must be HOST:PORT,..., without TLS", o.endpoints)
		}
		o.Endpoints = append(o.Endpoints, e)
	}
	return nil
}

func (o *chaosOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	name := os.Args[0]
	o.Member, o.Candidate, o.Stderr = []string{name, "chaos", "member"}, []string{name, "chaos", "candidate"}, stderr
	var page *reportFile
	if o.report != "" { // ten minutes are too long to find out that it cannot be written
		if page, err = openReport(o.report); err != nil {
			return usagef("--report: %w", err)
		}
		defer page.close()
	}
	p := newChaosProgress(stderr)
	o.Progress = p.show
	fmt.Fprintf(stderr, "seed %d, %v\n", o.Seed, o.Duration)
	result, err := chaos.Run(ctx, o.Options)
	p.end()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return &exitError{exitRefused, errors.New("that etcd asks for a user, and chaos wants one without: check --endpoints")}
	case errors.Is(err, chaos.ErrUnreachable):
		return &exitError{exitUnreachable, fmt.Errorf("%w: check --endpoints", err)}
	case err != nil:
		return err
	}
	if o.format == jsonForm {
		err = printJSON(stdout, result)
	} else {
		err = result.Print(stdout)
	}
	if page != nil {
		err = errors.Join(err, page.write(func(f *os.File) error { return result.Report(f) }))
	}
	verdict := verdictError(result)
	if verdict != nil && errors.Is(err, syscall.EPIPE) {
		return verdict // that nobody reads it does not make it good
	}
	return errors.Join(err, verdict)
}

// reportFile is where a report goes. What was there before stays until there is a new one.
type reportFile struct {
	*os.File
	made bool // it was not there before
}

func openReport(name string) (*reportFile, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, os.ErrExist) {
		return &reportFile{f, true}, err
	}
	f, err = os.OpenFile(name, os.O_WRONLY, 0)
	return &reportFile{f, false}, err
}

func (f *reportFile) write(report func(*os.File) error) error {
	f.made = false // from here on it stays
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	return errors.Join(report(f.File), f.Close())
}

// close removes what nothing was written to.
func (f *reportFile) close() {
	_ = f.Close() // if it was written to it is closed already
	if f.made {
		_ = os.Remove(f.Name()) // it is empty
	}
}

// verdictError gives the verdict as an exit code. It was printed before.
func verdictError(r *chaos.Result) error {
	switch r.Verdict {
	case chaos.Violated:
		return &exitError{exitNo, errors.New("promises were broken, see above")}
	case chaos.TooLittle:
		return &exitError{exitUnknown, errors.New("too little happened to know, see above")}
	}
	return nil
}

// chaosProgress shows how a run goes on: on a terminal by one line that changes, elsewhere by a line now and then.
type chaosProgress struct {
	w        io.Writer
	terminal bool
	phase    string
	last     time.Time
}

const chaosLines = 10 * time.Second // between two lines, where they do not change

func newChaosProgress(w io.Writer) *chaosProgress {
	c := &chaosProgress{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		c.terminal = err == nil
	}
	return c
}

func (c *chaosProgress) show(p chaos.Progress) {
	for _, v := range p.News {
		c.clear()
		fmt.Fprintf(c.w, "%s\n", v)
	}
	line := fmt.Sprintf("%s: %v of %v, %d faults (%d hit), %d leader changes, %d violations", p.Phase,
		p.Elapsed.Round(time.Second), p.Duration, p.Faults, p.Hit, p.Changes, p.Violations)
	if p.Elapsed == 0 {
		line = p.Phase
	}
	if c.terminal {
		fmt.Fprintf(c.w, "\r\x1b[K%s", line)
		return
	}
	if time.Since(c.last) > chaosLines || p.Elapsed == 0 && p.Phase != c.phase {
		fmt.Fprintln(c.w, line)
		c.last, c.phase = time.Now(), p.Phase
	}
}

func (c *chaosProgress) clear() {
	if c.terminal {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
}

func (c *chaosProgress) end() { c.clear() }
