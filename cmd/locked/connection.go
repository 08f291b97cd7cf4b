package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/doctor"
	"github.com/samcday/locked/cmd/internal/span"
	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/etcd"
)

type flag = pflag.Flag

// connection is how to reach etcd: the flags that all commands share. They are named as etcdctl names them.
type connection struct {
	endpoints      string
	cacert         string
	cert, key      string
	skipVerify     bool
	user, password string
	timeout        time.Duration
	flags          *pflag.FlagSet
	transport      *tls.Config // as made of the flags; nil for none
	lookup         func(variable string) (string, bool)
}

func newConnection() *connection {
	c := &connection{flags: pflag.NewFlagSet("connection", pflag.ContinueOnError), lookup: os.LookupEnv}
	c.flags.StringVar(&c.endpoints, "endpoints", "127.0.0.1:2379", "etcd's members: `HOST:PORT,...`, with https:// for TLS")
	c.flags.StringVar(&c.cacert, "cacert", "", "`FILE` with the authorities that may have signed etcd's certificate")
	c.flags.StringVar(&c.cert, "cert", "", "`FILE` with the certificate to show to etcd")
	c.flags.StringVar(&c.key, "key", "", "`FILE` with the key of --cert")
	c.flags.BoolVar(&c.skipVerify, "insecure-skip-tls-verify", false, "use TLS, but believe any certificate: for tests")
	c.flags.StringVar(&c.user, "user", "", "etcd user, as `NAME[:PASSWORD]`")
	c.flags.StringVar(&c.password, "password", "", "`PASSWORD` of --user, better given by LOCKED_PASSWORD")
	span.Var(c.flags, &c.timeout, "command-timeout", locked.DefaultRequestTimeout, "how long to wait for an answer of etcd")
	return c
}

// open makes a Locker with what the flags and the environment say, and further options.
func (c *connection) open(more ...locked.Option) (*locked.Locker, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	opts := append([]locked.Option{locked.WithRequestTimeout(c.timeout)}, more...)
	user, password, err := c.login()
	if err != nil {
		return nil, err
	}
	if user != "" {
		opts = append(opts, locked.WithAuth(user, password))
	}
	if c.transport, err = c.tls(); err != nil {
		return nil, err
	}
	if c.transport != nil {
		opts = append(opts, locked.WithTLS(c.transport))
	}
	l, err := locked.New(c.endpoints, opts...)
	if err != nil {
		return nil, c.explain(err)
	}
	return l, nil
}

// prepare makes sure of the flags and the environment.
func (c *connection) prepare() error {
	if err := c.readEnvironment(); err != nil {
		return err
	}
	if c.timeout < 100*time.Millisecond || c.timeout > time.Minute {
		return usagef("--command-timeout %v: must be from 100ms to 1m", c.timeout)
	}
	return nil
}

// openClient makes a client of etcd itself, for what a Locker does not tell.
func (c *connection) openClient() (*clientv3.Client, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	return c.client(c.endpoints)
}

// client makes an etcd client with what the flags say.
func (c *connection) client(endpoints string) (*clientv3.Client, error) {
	user, password, err := c.login()
	if err != nil {
		return nil, err
	}
	if c.transport, err = c.tls(); err != nil {
		return nil, err
	}
	config, err := etcd.Config(endpoints, c.timeout)
	if err != nil {
		return nil, usagef("%w", err)
	}
	config.TLS, config.Username, config.Password = c.transport, user, password
	client, err := clientv3.New(config)
	if err != nil {
		return nil, c.explain(err)
	}
	return client, nil
}

// openBoth makes a client, and a Locker on it.
func (c *connection) openBoth() (*clientv3.Client, *locked.Locker, error) {
	client, err := c.openClient()
	if err != nil {
		return nil, nil, err
	}
	l, err := locked.NewFromClient(client, locked.WithRequestTimeout(c.timeout))
	if err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return client, l, nil
}

// readEnvironment sets the flags that were not given from the environment.
func (c *connection) readEnvironment() (err error) {
	c.flags.VisitAll(func(f *flag) {
		for _, prefix := range []string{"LOCKED_", "ETCDCTL_"} {
			variable := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			value, _ := c.lookup(variable)
			if f.Changed || value == "" || err != nil {
				continue
			}
			if e := c.flags.Set(f.Name, value); e != nil {
				err = usagef("environment variable %s: %w", variable, e)
			}
		}
	})
	return err
}

// login takes the user apart as etcdctl does.
func (c *connection) login() (user, password string, err error) {
	user, password = c.user, c.password
	if password == "" {
		user, password, _ = strings.Cut(c.user, ":")
	}
	switch {
	case user == "" && password != "":
		return "", "", usagef("--password is given without --user")
	case user != "" && password == "":
		return "", "", usagef("--user %s has no password: give --user %s:PASSWORD, --password or LOCKED_PASSWORD", user, user)
	}
	return user, password, nil
}

func (c *connection) tls() (*tls.Config, error) {
	if c.cacert == "" && c.cert == "" && c.key == "" && !c.skipVerify {
		return nil, nil // https:// in an endpoint is enough then, with the authorities that the system trusts
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.skipVerify}
	if c.cacert != "" {
		pem, err := os.ReadFile(c.cacert)
		if err != nil {
			return nil, usagef("--cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--cacert: there is no PEM certificate in %s", c.cacert)
		}
	}
	if (c.cert == "") != (c.key == "") {
		return nil, usagef("--cert and --key must be given together")
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, usagef("--cert %s with --key %s: %w", c.cert, c.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// etcd is what is reached, for whoever looks what is wrong with it.
func (c *connection) etcd() doctor.Etcd {
	return doctor.Etcd{Endpoints: c.endpoints, TLS: c.transport, Timeout: c.timeout}
}

// explain says what to do about an error of the library.
func (c *connection) explain(err error) error { return c.etcd().Explain(err) }

// trouble says how to find out about trouble with the election at a path, or with those below a prefix.
func (c *connection) trouble(l *locked.Locker, path string, ttl time.Duration, stake func() string) trouble.Config {
	asked := path
	if locked.CheckPath(path) != nil { // it is a prefix: any path will do to see whether there is an answer
		asked = "locked"
	}
	return trouble.Config{Path: path, Diagnose: c.etcd().Diagnose, Stake: stake, Beat: ttl / 2, Probe: func(ctx context.Context) error {
		_, err := l.Leader(ctx, asked)
		return err
	}}
}
