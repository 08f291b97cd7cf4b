package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/etcd"
)

// explain makes of an error of the library one that has an exit code, and says what to do about it.
func (c *connection) explain(err error) error {
	var config *locked.ConfigError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, locked.ErrNoLeader), errors.As(err, &config):
		return err
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return &exitError{exitRefused, fmt.Errorf("etcd does not know that user and password: check --user, --password and LOCKED_PASSWORD")}
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return &exitError{exitRefused, fmt.Errorf("etcd asks for a user: give %s", variables("user"))}
	case errors.Is(err, rpctypes.ErrNoSpace), errors.Is(err, rpctypes.ErrCorrupt):
		return err
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return &exitError{exitUsage, fmt.Errorf("%w: give a shorter value, or etcd a larger --max-request-bytes", err)}
	case errors.Is(err, errLearner):
		return &exitError{exitUnreachable, fmt.Errorf("%w: an endpoint is a member that does not vote yet: take it out of %s, or promote it",
			err, variables("endpoints"))}
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return &exitError{exitUnreachable, fmt.Errorf("%w: it ended before it was used, as etcd or this machine is slow, or somebody has "+
			"revoked it: try again, with a longer --ttl if it comes again", err)}
	case forbidden(err):
		return &exitError{exitRefused, err}
	case refused(err):
		return err
	}
	what := fmt.Sprintf("etcd did not answer within %v", c.timeout)
	if said, ok := answer(err); ok {
		what = "etcd answered " + said
	}
	return &exitError{exitUnreachable, fmt.Errorf("%s: %s: check %s", what, c.diagnose(), variables("endpoints"))}
}

// errLearner is what a member answers that is none of the voters.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// forbidden reports whether etcd has refused who asks, and not what.
func forbidden(err error) bool {
	var etcd rpctypes.EtcdError
	if !errors.As(err, &etcd) {
		return false
	}
	for _, who := range []error{rpctypes.ErrAuthNotEnabled, rpctypes.ErrInvalidAuthMgmt, rpctypes.ErrUserNotFound, rpctypes.ErrRoleNotGranted} {
		if errors.Is(err, who) {
			return true
		}
	}
	return etcd.Code() == codes.PermissionDenied || etcd.Code() == codes.Unauthenticated
}

// refused reports whether etcd itself has answered with the error, and will again.
func refused(err error) bool {
	var etcd rpctypes.EtcdError
	if !errors.As(err, &etcd) || errors.Is(err, rpctypes.ErrTooManyRequests) {
		return false
	}
	switch etcd.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Internal, codes.Aborted:
		return false
	}
	return true
}

// answer quotes etcd, if it was etcd that answered with the error.
func answer(err error) (said string, ok bool) {
	var etcd rpctypes.EtcdError
	ok = errors.As(err, &etcd)
	return strconv.Quote(strings.TrimPrefix(etcd.Error(), "etcdserver: ")), ok
}

// trouble says how to find out about trouble with the election at a path, or with those below a prefix.
func (c *connection) trouble(l *locked.Locker, path string, ttl time.Duration, stake func() string) trouble.Config {
	asked := path
	if locked.CheckPath(path) != nil { // it is a prefix: any path will do to see whether there is an answer
		asked = "locked"
	}
	return trouble.Config{Path: path, Diagnose: c.diagnose, Stake: stake, Beat: ttl / 2, Probe: func(ctx context.Context) error {
		_, err := l.Leader(ctx, asked)
		return err
	}}
}

// diagnose looks what is wrong with each endpoint. The etcd client only says that time was up.
func (c *connection) diagnose() string {
	endpoints := strings.Split(c.endpoints, ",")
	found := make([]string, len(endpoints))
	var probes sync.WaitGroup
	for i, e := range endpoints {
		probes.Go(func() {
			e = strings.TrimSpace(e)
			problem, remedy := c.probe(context.Background(), e)
			found[i] = e + ": " + problem
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
func (c *connection) probe(ctx context.Context, endpoint string) (problem, remedy string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := dial(ctx, endpoint)
	if err != nil {
		return short(err), ""
	}
	defer conn.Close()
	scheme, address := parts(endpoint)
	host, _, _ := net.SplitHostPort(address)
	secure := scheme == "https" || scheme == "" && c.transport != nil
	if secure {
		err = shake(ctx, conn, host, c.transport)
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
	return c.greet(ctx, endpoint)
}

// greet asks an endpoint how it stands, as nobody. If that is refused it has answered all the same.
func (c *connection) greet(ctx context.Context, endpoint string) (problem, remedy string) {
	config, err := etcd.Config(endpoint, c.timeout)
	if err != nil {
		return short(err), ""
	}
	config.TLS = c.transport
	client, err := clientv3.New(config)
	if err != nil {
		return short(err), ""
	}
	defer client.Close()
	s, err := client.Status(ctx, endpoint)
	_, answers := answer(err)
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
