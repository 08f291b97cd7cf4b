package etcd

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Config is that of a client for endpoints, a comma-separated list of HOST:PORT, which finds a dead connection in 13 seconds,
// and a server that has come back in two. Each connection may take as long as the timeout. An error is a *Refused.
func Config(endpoints string, timeout time.Duration) (clientv3.Config, error) {
	list, err := split(endpoints)
	if err != nil {
		return clientv3.Config{}, err
	}
	wait := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
	return clientv3.Config{
		Endpoints: list, Logger: zap.NewNop(),
		DialTimeout: timeout, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: timeout}),
		},
	}, nil
}

func split(s string) ([]string, error) {
	var list []string
	for e := range strings.SplitSeq(s, ",") {
		if e = strings.TrimSpace(e); e == "" {
			continue
		}
		if !isEndpoint(e) {
			return nil, &Refused{"endpoints", fmt.Sprintf("%q", e), "must be HOST:PORT, such as localhost:2379, or begin with http://, https:// or unix://"}
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, &Refused{"endpoints", fmt.Sprintf("%q", s), "must name at least one HOST:PORT"}
	}
	return list, nil
}

func isEndpoint(s string) bool {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case !found:
		rest = s
	case scheme == "unix" || scheme == "unixs":
		return rest != ""
	case scheme != "http" && scheme != "https":
		return false
	}
	_, port, err := net.SplitHostPort(rest)
	number, perr := strconv.Atoi(port)
	return err == nil && perr == nil && number > 0 && number < 1<<16
}
