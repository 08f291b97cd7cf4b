package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

const (
	readyLimit  = 30 * time.Second // from opened to serving, besides the election
	closeLimit  = 15 * time.Second
	failedLimit = 2 * time.Second // to close an etcd that has given up
)

// run opens etcd and then watches it. Opening runs in a goroutine of its own
// because etcd ends it when it gives up.
func (s *Server) run(c *embed.Config) {
	s.open(c)
	if s.etcd == nil {
		return
	}
	select {
	case err := <-s.etcd.Err():
		s.end(fmt.Errorf("etcd stopped: %w", err))
	case <-s.etcd.Server.StopNotify():
		s.end(errors.New("etcd stopped"))
	case <-s.done:
	}
}

func (s *Server) open(c *embed.Config) {
	defer close(s.opened)
	defer func() {
		if r := recover(); r != nil { // some damage to the data takes etcd unawares
			s.end(fmt.Errorf("panic: %v", r))
		}
	}()
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		s.end(err)
		return
	}
	s.etcd = etcd
}

// serving is called by etcd just before it accepts requests.
func (s *Server) serving(g *grpc.Server) {
	if err := s.dir.complete(); err != nil {
		s.end(err)
		g.Stop()
		return
	}
	s.grpc <- g
}

// awaitReady waits no longer than the limit, but for as long as it takes until
// enough other members are there.
func (s *Server) awaitReady(ctx context.Context, limit time.Duration) error {
	select {
	case <-s.opened:
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	var late <-chan time.Time
	if s.alone {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case g := <-s.grpc:
		s.grpc <- g // for shutdown
		return nil
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return fmt.Errorf("not ready within %v: is this a member of a larger cluster?", limit)
	}
}

// end marks the server as ended, with the reason. The first reason counts.
func (s *Server) end(err error) {
	s.ended.Do(func() {
		s.err = err
		close(s.done)
	})
}

// shutdown does not wait for ever: a goroutine that gave up may have left a lock
// behind.
func (s *Server) shutdown() error {
	gone := make(chan error, 1)
	go func() {
		defer func() { gone <- s.dir.close() }()
		<-s.opened
		s.stop()
		s.running.Wait()
	}()
	limit := closeLimit
	if s.err != nil {
		limit = failedLimit
	}
	select {
	case err := <-gone:
		return err
	case <-time.After(limit):
		return errors.New("etcd did not stop")
	}
}

func (s *Server) stop() {
	if s.etcd == nil {
		return
	}
	s.mute.Store(true)
	if !s.alone && s.err == nil {
		_ = s.etcd.Server.TryTransferLeadershipOnShutdown() // else the others notice only after an election timeout
	}
	select {
	case g := <-s.grpc:
		g.Stop() // else etcd waits 5 s and more for open watches to end
	default:
	}
	s.etcd.Server.HardStop() // else etcd waits to be ready before it stops
	s.etcd.Close()
}
