package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/etcd"
)

// Diagnose looks what is wrong with each endpoint. The etcd client only says that time was up.
func (e Etcd) Diagnose() string {
	endpoints := strings.Split(e.Endpoints, ",")
	found := make([]string, len(endpoints))
	var probes sync.WaitGroup
	for i, endpoint := range endpoints {
		probes.Go(func() {
			endpoint = strings.TrimSpace(endpoint)
			problem, remedy := e.probe(context.Background(), endpoint)
			found[i] = endpoint + ": " + problem
			if remedy != "" {
				found[i] += ": " + remedy
			}
		})
	}
	probes.Wait()
	return strings.Join(found, ", ")
}

// probe says, within two seconds, what is wrong with an endpoint that did not answer, and what to do about it if that is
// known.
func (e Etcd) probe(ctx context.Context, endpoint string) (problem, remedy string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := dial(ctx, endpoint)
	if err != nil {
		return short(err), ""
	}
	defer conn.Close()
	scheme, address := parts(endpoint)
	host, _, _ := net.SplitHostPort(address)
	secure := scheme == "https" || scheme == "" && e.TLS != nil
	if secure {
		err = shake(ctx, conn, host, e.TLS)
	} else {
		err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	}
	var foreign tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "it takes connections, but does not answer", "see whether it is stopped or overloaded"
	case !secure && err == nil:
		return "it speaks TLS", "give --cacert, or https:// before the host"
	case secure && errors.As(err, &foreign):
		return "it does not speak TLS", "give http:// before the host"
	case secure && errors.As(err, &unknown):
		return "TLS: " + short(err), "give --cacert with the authority that has signed its certificate"
	case secure && err != nil:
		return "TLS: " + short(err), "see --cacert, --cert and --key"
	}
	return e.greet(ctx, endpoint)
}

// greet asks an endpoint how it stands, as nobody. If that is refused it has answered all the same.
func (e Etcd) greet(ctx context.Context, endpoint string) (problem, remedy string) {
	config, err := etcd.Config(endpoint, e.Timeout)
	if err != nil {
		return short(err), ""
	}
	config.TLS = e.TLS
	client, err := clientv3.New(config)
	if err != nil {
		return short(err), ""
	}
	defer client.Close()
	s, err := client.Status(ctx, endpoint)
	_, answers := trouble.Answer(err)
	switch {
	case err == nil && s.Leader == 0:
		return "it has no leader", "see whether it reaches the others"
	case err == nil, answers:
		return "it answers, but not in time", "see whether it is overloaded or does not reach the others, or give a longer --command-timeout"
	}
	return "it takes connections, but does not answer as an etcd does", "see whether it is one"
}

// dial connects to an endpoint, without TLS.
func dial(ctx context.Context, endpoint string) (net.Conn, error) {
	scheme, address := parts(endpoint)
	network := "tcp"
	if strings.HasPrefix(scheme, "unix") {
		network = "unix"
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func parts(endpoint string) (scheme, address string) {
	if scheme, address, ok := strings.Cut(endpoint, "://"); ok {
		return scheme, address
	}
	return "", endpoint
}

// shake tries whether TLS can be agreed on.
func shake(ctx context.Context, conn net.Conn, host string, config *tls.Config) error {
	if config == nil {
		config = new(tls.Config)
	}
	config = config.Clone()
	config.ServerName = host
	config.NextProtos = []string{"h2"}
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	// With TLS 1.3 a server that refuses our certificate says so only afterwards; one that does not sends its settings.
	deadline, _ := ctx.Deadline()
	_ = t.SetReadDeadline(deadline)
	_, err := t.Read(make([]byte, 1))
	return err
}

// short leaves out of a network error what the user knows.
func short(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	text := err.Error()
	for _, prefix := range []string{"connect: ", "tls: ", "remote error: tls: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
