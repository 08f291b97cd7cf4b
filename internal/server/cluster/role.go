//go:build linux

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// memberSettings are those of the role of a member.
type memberSettings struct {
	Name, Dir, Advertise, Members string
	Election                      time.Duration
	Log                           bool
}

// memberTells is a line that a member writes.
type memberTells struct {
	Peers  string `json:"peers,omitempty"`  // where it listens for the others: before it serves
	Client string `json:"client,omitempty"` // where it listens for clients: when it serves
}

// RunMember is the role of a member. It returns when stdin ends.
func RunMember(stdin io.Reader, stdout io.Writer) error {
	var s memberSettings
	in := bufio.NewReader(stdin)
	if err := child.Settings(in, &s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // however it ends
		os.Exit(0)                     // at once: nobody needs a polite end of a cluster
	}()
	server, err := s.start(ctx, json.NewEncoder(stdout))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(memberTells{Client: server.Addr()}); err != nil {
		return err
	}
	<-server.Done()
	return server.Close()
}

// start takes another port when somebody was faster.
func (s *memberSettings) start(ctx context.Context, out *json.Encoder) (*etcdserver.Server, error) {
	var log *slog.Logger
	if s.Log {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		if err := out.Encode(memberTells{Peers: addr}); err != nil {
			return nil, err
		}
		server, err := etcdserver.Start(ctx, etcdserver.Config{
			DataDir: s.Dir, ElectionTimeout: s.Election, NoFsync: true, Logger: log, // no machine fails here
			Cluster: &etcdserver.Cluster{Name: s.Name, Listen: addr, Advertise: s.Advertise, Members: s.Members},
		})
		if !errors.Is(err, syscall.EADDRINUSE) {
			return server, err
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
