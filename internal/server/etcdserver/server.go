package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

const portTries = 5

// Server is a running etcd server. Its methods may be called by any goroutine.
type Server struct {
	scheme, addr string
	alone        bool // the only member of its cluster
	dir          *directory
	mute         atomic.Bool

	running sync.WaitGroup
	opened  chan struct{}     // closed when etcd is there or will never be
	etcd    *embed.Etcd       // once opened; nil if that failed
	grpc    chan *grpc.Server // holds one when etcd begins to serve

	ended sync.Once
	err   error         // set before done is closed
	done  chan struct{} // closed when the server has ended or is about to

	closed   sync.Once
	closeErr error
}

// Start runs a server and returns when it serves. Wrong settings, a port or a
// directory that cannot be had, and a directory in use are errors that name
// the setting and its value. When ctx ends first, Start undoes what it did and
// returns ctx's error; after that ctx has no more influence.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("etcdserver: %w", err)
	}
	_, port, _ := net.SplitHostPort(cfg.Listen)
	for try := 1; ; try++ {
		s, err := start(ctx, cfg)
		if port == "0" && try < portTries && errors.Is(err, syscall.EADDRINUSE) {
			continue // somebody took the free port before etcd did
		}
		if ctx.Err() != nil && err != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("etcdserver: %w", err)
		}
		return s, nil
	}
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	listen, addr, err := decidePort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", cfg.Listen, err)
	}
	alone := cfg.Cluster == nil
	dir, err := openDirectory(cfg.DataDir, alone)
	if err != nil {
		return nil, err
	}
	s := &Server{
		scheme: cfg.scheme(),
		addr:   addr,
		alone:  alone,
		dir:    dir,
		opened: make(chan struct{}),
		grpc:   make(chan *grpc.Server, 1),
		done:   make(chan struct{}),
	}
	e := cfg.embed(listen, addr, dir.path)
	lg := newZap(cfg.Logger, &s.mute, s.end)
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)
	e.ClientTLSInfo.Logger = lg // says so when a renewed certificate is no good
	e.ServiceRegister = s.serving
	s.running.Go(func() { s.run(e) })
	if err := s.awaitReady(ctx, readyLimit+2*cfg.ElectionTimeout); err != nil {
		s.end(err)
		return nil, fmt.Errorf("etcd in data directory %q on %v: %w", dir.path, listen, s.close())
	}
	return s, nil
}

// Endpoint returns the URL for etcd's client, such as "http://127.0.0.1:2379".
func (s *Server) Endpoint() string { return s.scheme + "://" + s.addr }

// Addr returns HOST:PORT, with the port that was chosen if 0 was asked for.
func (s *Server) Addr() string { return s.addr }

// DataDir returns the directory in use.
func (s *Server) DataDir() string { return s.dir.path }

// Done returns a channel that is closed when Close is called, or before that
// when etcd stops by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends the server and waits until it has gone: its port and directory can
// be used again, and a temporary directory has been removed. If etcd stopped by
// itself Close returns why. Further calls do nothing and return the same.
func (s *Server) Close() error {
	if err := s.close(); err != nil {
		return fmt.Errorf("etcdserver: %w", err)
	}
	return nil
}

func (s *Server) close() error {
	s.end(nil)
	s.closed.Do(func() { s.closeErr = s.shutdown() })
	return errors.Join(s.err, s.closeErr)
}
