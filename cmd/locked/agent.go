package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/agent"
	"github.com/samcday/locked/cmd/internal/doctor"
	"github.com/samcday/locked/cmd/internal/span"
	"github.com/samcday/locked/internal/server/etcdserver"
)

const agentHelp = `Agent is an HTTP service by which programs of any language take part in elections. Who
posts a campaign is a candidate as long as the connection is open, and is told what
happens as Server-Sent Events. When a process on this machine dies, its connection ends,
and the next in line is elected within milliseconds.

  curl -N -d id=a -d value=10.0.0.1:80 http://127.0.0.1:7070/v1/elections/web/campaign

Without --endpoints, or a variable for it, it runs an etcd of one member in this process,
with its data in --data-dir; with --endpoints it uses that etcd.

It listens on this machine only. To be reached from elsewhere it needs --cert-file and
--key-file, and --token-file or --trusted-ca-file. A token file has a token and the path
prefixes that it is for on each line. /openapi.yaml describes the API.

When it is asked to end, it tells those who lead, waits until they have ended their work,
hands over, and closes.`

type agentOptions struct {
	conn     *connection
	format   format
	verbose  bool
	dataDir  string
	external bool // an etcd was named
	agent.Config
}

func newAgentCommand(conn *connection) *cobra.Command {
	o := &agentOptions{conn: conn}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Serve elections over HTTP, to programs of any language",
		Long:  agentHelp,
		Example: `  locked agent
  locked agent --endpoints 10.0.0.1:2379,10.0.0.2:2379 --listen unix:/run/locked.sock
  locked agent --listen 0.0.0.0:7070 --cert-file s.pem --key-file s.key --token-file tokens`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conn.prepare(); err != nil {
				return err
			}
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", agent.DefaultListen, "where to listen, as `IP:PORT` or unix:FILE; port 0 takes a free one")
	f.StringVar(&o.dataDir, "data-dir", "locked.agent", "`DIR` for the data of its own etcd")
	f.StringVar(&o.Prefix, "prefix", "/", "what the `PATH`s of the elections that it serves begin with")
	f.StringVar(&o.CertFile, "cert-file", "", "`FILE` with the certificate to show to callers: turns TLS on")
	f.StringVar(&o.KeyFile, "key-file", "", "`FILE` with the key of --cert-file")
	f.StringVar(&o.ClientCAFile, "trusted-ca-file", "", "`FILE` with the authorities that callers' certificates must be signed by")
	f.StringVar(&o.TokenFile, "token-file", "", "`FILE` with bearer tokens, and the path prefixes that each is for")
	f.StringSliceVar(&o.AllowHosts, "allow-host", nil, "`NAME` by which callers may call it, besides addresses and localhost")
	f.IntVar(&o.MaxCandidacies, "max-candidacies", agent.DefaultMaxCandidacies, "how many campaigns may be open")
	f.IntVar(&o.MaxViewers, "max-streams", agent.DefaultMaxViewers, "how many other event streams may be open")
	span.Var(f, &o.DrainTimeout, "drain-timeout", agent.DefaultDrain, "how long to wait, at the end, for those who lead")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	o.format.addTo(f)
	return cmd
}

func (o *agentOptions) check(given func(flag string) bool) error {
	o.external = o.conn.flags.Changed("endpoints")
	switch {
	case o.external && given("data-dir"):
		return usagef("--data-dir is for an etcd of its own, and --endpoints names another one: give one of them")
	case o.dataDir == "":
		return usagef("--data-dir must not be empty")
	case o.MaxCandidacies < 1:
		return usagef("--max-candidacies %d: must be at least 1", o.MaxCandidacies)
	case o.MaxViewers < 1:
		return usagef("--max-streams %d: must be at least 1", o.MaxViewers)
	case o.DrainTimeout <= 0:
		return usagef("--drain-timeout %v: must be more than 0", o.DrainTimeout)
	}
	return o.explain(o.Config.Check())
}

func (o *agentOptions) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	o.Logger = newLogger(stderr, text, level)
	etcd, endpoints, err := o.etcd(ctx)
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	if etcd != nil {
		defer func() { err = errors.Join(err, etcd.Close()) }()
	}
	client, err := o.conn.client(endpoints)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := agent.New(client, o.Config, locked.WithRequestTimeout(o.conn.timeout))
	if err != nil {
		return o.explain(err)
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	if etcd != nil {
		go func() {
			select {
			case <-etcd.Done(): // it gave up; Close says why
				giveUp()
			case <-ctx.Done():
			}
		}()
	}
	if err := o.announce(stdout, a, endpoints); err != nil {
		giveUp()
		return errors.Join(err, a.Serve(ctx))
	}
	if o.external {
		go o.warnUnlessAnswered(ctx, client)
	}
	return a.Serve(ctx)
}

// warnUnlessAnswered tells of an etcd that was named and does not answer. The agent serves all the same: elections wait for it.
func (o *agentOptions) warnUnlessAnswered(ctx context.Context, client *clientv3.Client) {
	limited, cancel := context.WithTimeout(ctx, o.conn.timeout)
	defer cancel()
	if err := doctor.Commit(limited, client); err != nil && ctx.Err() == nil {
		o.Logger.Warn("elections wait for etcd", "cause", o.conn.explain(err))
	}
}

// etcd runs one, unless another one was named.
func (o *agentOptions) etcd(ctx context.Context) (*etcdserver.Server, string, error) {
	if o.external {
		return nil, o.conn.endpoints, nil
	}
	dir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return nil, "", err
	}
	s, err := etcdserver.Start(ctx, etcdserver.Config{DataDir: dir, Logger: o.Logger})
	if err != nil {
		return nil, "", err
	}
	return s, s.Endpoint(), nil
}

var agentFlags = map[string]string{
	"Listen": "--listen", "Prefix": "--prefix", "CertFile": "--cert-file", "KeyFile": "--key-file", "ClientCAFile": "--trusted-ca-file",
	"TokenFile": "--token-file",
}

// explain tells of a setting by its flag.
func (o *agentOptions) explain(err error) error {
	var config *agent.ConfigError
	switch {
	case errors.As(err, &config):
		want := config.Want
		for field, flag := range agentFlags {
			want = strings.ReplaceAll(want, field, flag)
		}
		return usagef("%s %s: %s", agentFlags[config.Field], config.Value, want)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: stop what listens there, or give --listen another port (0 takes a free one)", err)
	}
	return err
}

func (o *agentOptions) announce(w io.Writer, a *agent.Agent, endpoints string) error {
	if o.format == jsonForm {
		return printJSON(w, struct {
			URL       string `json:"url"`
			Endpoints string `json:"endpoints"`
			PID       int    `json:"pid"`
		}{a.URL(), endpoints, os.Getpid()})
	}
	of := endpoints
	if !o.external {
		of = "an etcd of its own, with its data in " + o.dataDir
	}
	_, err := fmt.Fprintf(w, "the agent serves at %s, on %s\n", a.URL(), of)
	return err
}
