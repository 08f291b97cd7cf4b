package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/samcday/locked/internal/server/etcdserver"
)

const serverHelp = `Server runs an etcd in this process until it is interrupted: alone, which is good for
development, for tests, and for services on one machine; or as one member of a cluster,
by etcd's own flags, with --initial-cluster. When one that is alone is down nobody can be
elected; a cluster of three goes on without one.

Its data is kept in --data-dir, and found there at the next start. It listens on this
machine only. To be reached from elsewhere it needs TLS: --cert-file and --key-file,
and --trusted-ca-file so that clients must show a certificate; without that last one
anybody who can reach it may do anything. --insecure-listen does without TLS.

When it serves it prints one line with its endpoint. What etcd warns about goes to
stderr.`

type serverOptions struct {
	format            format
	log               logging
	listen, dataDir   string
	certFile, keyFile string
	clientCA          string
	insecure          bool
	cluster           clusterOptions
	member            *etcdserver.Cluster // nil for a server that is alone
}

func newServerCommand(*connection) *cobra.Command {
	o := new(serverOptions)
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run an etcd, alone or as one member of a cluster",
		Long:  serverHelp,
		Example: `  locked server
  locked server --listen 127.0.0.1:0 --data-dir /var/lib/locked -o json
  locked server --listen 0.0.0.0:2379 --cert-file s.pem --key-file s.key --trusted-ca-file ca.pem
  locked server --name a --listen 127.0.0.1:2379 --data-dir a.etcd \
    --initial-cluster a=http://127.0.0.1:2380,b=http://127.0.0.1:3380,c=http://127.0.0.1:4380`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			var err error
			if o.member, err = o.cluster.resolve(cmd.Flags().Changed, o.insecure); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:2379", "address for clients, as `IP:PORT`; port 0 takes a free one")
	f.StringVar(&o.dataDir, "data-dir", "locked.etcd", "`DIR` for the data, made if it is not there")
	f.StringVar(&o.certFile, "cert-file", "", "`FILE` with the certificate: turns TLS on")
	f.StringVar(&o.keyFile, "key-file", "", "`FILE` with the key of --cert-file")
	f.StringVar(&o.clientCA, "trusted-ca-file", "", "`FILE` with the authorities that clients' certificates must be signed by")
	f.BoolVar(&o.insecure, "insecure-listen", false, "listen without TLS even where other machines can reach it")
	o.cluster.addTo(f)
	o.log.addTo(f, "log what etcd calls information too")
	o.format.addTo(f)
	return withoutConnection(cmd, "it is an etcd itself; see --listen")
}

func (o *serverOptions) check() error {
	host, port, err := net.SplitHostPort(o.listen)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		return usagef("--listen %q: must be IP:PORT", o.listen)
	case ip == nil && host != "localhost":
		return usagef("--listen %q: the host must be an IP address or localhost", o.listen)
	case !isPort(port):
		return usagef("--listen %q: the port must be a number from 0 to 65535", o.listen)
	case o.dataDir == "":
		return usagef("--data-dir must not be empty")
	case (o.certFile == "") != (o.keyFile == ""):
		return usagef("--cert-file and --key-file must be given together")
	case o.clientCA != "" && o.certFile == "":
		return usagef("--trusted-ca-file needs --cert-file and --key-file too")
	case o.certFile == "" && ip != nil && !ip.IsLoopback() && !o.insecure:
		return usagef("--listen %s can be reached from other machines, and without TLS anybody there could read and change "+
			"everything: give --cert-file, --key-file and --trusted-ca-file, or listen on 127.0.0.1, or give "+
			"--insecure-listen if the network is yours alone", o.listen)
	}
	return nil
}

func isPort(s string) bool {
	port, err := net.LookupPort("tcp", s)
	return err == nil && s == fmt.Sprint(port)
}

func (o *serverOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	dir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return err
	}
	s, err := etcdserver.Start(ctx, etcdserver.Config{
		Listen: o.listen, DataDir: dir, CertFile: o.certFile, KeyFile: o.keyFile, ClientCAFile: o.clientCA,
		Cluster: o.member, Logger: o.log.logger(stderr),
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: stop what listens there, or give --listen another port (0 takes a free one)", err)
	case err != nil:
		return err
	}
	if err := o.announce(stdout, s); err != nil {
		return errors.Join(err, s.Close())
	}
	select {
	case <-ctx.Done():
	case <-s.Done(): // etcd gave up; Close says why
	}
	return s.Close()
}

func (o *serverOptions) announce(w io.Writer, s *etcdserver.Server) error {
	if o.format == jsonForm {
		return printJSON(w, struct {
			Endpoint string `json:"endpoint"`
			DataDir  string `json:"data_dir"`
			PID      int    `json:"pid"`
		}{s.Endpoint(), s.DataDir(), os.Getpid()})
	}
	_, err := fmt.Fprintf(w, "etcd serves at %s, with its data in %s\n", s.Endpoint(), s.DataDir())
	return err
}
