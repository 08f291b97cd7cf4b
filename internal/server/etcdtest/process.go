package etcdtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/etcdproc"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/port"
)

const (
	serveLimit = time.Minute // on a machine that has other things to do
	quitLimit  = time.Second // etcd itself waits for longer until streams end
	dataDir    = "data"
)

// process is an etcd in a process of its own. The directory for its log, and for its data if it has got none, is removed when
// it is closed; but the log stays if it ended by itself.
type process struct {
	program *etcdproc.Program
	cfg     etcdserver.Config
	proc    *child.Process
	scratch string
	release func() // of its address, if that was kept here

	ending sync.Once
	err    error         // why it has ended by itself
	done   chan struct{} // closed when it has, or is to
	ended  chan struct{} // closed when the process has, and that is noted

	closing  sync.Once
	closeErr error
}

func startProcess(ctx context.Context, program *etcdproc.Program, cfg etcdserver.Config) (s *process, err error) {
	s = &process{program: program, cfg: cfg, ended: make(chan struct{}), done: make(chan struct{})}
	if err = s.prepare(); err == nil {
		err = s.run()
	}
	if err != nil {
		return nil, errors.Join(err, s.clear())
	}
	if err := s.await(ctx); err != nil {
		if closed := s.Close(); closed != nil {
			return nil, closed
		}
		return nil, err
	}
	return s, nil
}

// prepare decides what the configuration leaves open.
func (s *process) prepare() (err error) {
	if s.scratch, err = os.MkdirTemp("", "locked-etcd-"+s.program.Version+"-"); err != nil {
		return err
	}
	if s.cfg.DataDir == "" {
		s.cfg.DataDir = filepath.Join(s.scratch, dataDir)
	}
	if s.cfg.Listen == "" || s.cfg.Listen == "127.0.0.1:0" {
		s.cfg.Listen, s.release, err = port.Keep()
	}
	return err
}

func (s *process) run() error {
	cmd, err := s.program.Command(s.cfg)
	if err != nil {
		return err
	}
	cmd.Args = append(cmd.Args, "--bcrypt-cost=4") // the cheapest: passwords are not the matter here
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if s.proc, err = child.Start(cmd, nil); err != nil {
		return err
	}
	go func() {
		defer close(s.ended)
		<-s.proc.Done()
		s.end(fmt.Errorf("etcd %s has ended: %v; %s", s.program.Version, s.proc.State(), etcdproc.Tail(s.log())))
	}()
	return nil
}

func (s *process) log() string { return filepath.Join(s.scratch, "log") }

// end notes why it ends, nil if that is wanted. The first reason counts.
func (s *process) end(err error) {
	s.ending.Do(func() {
		s.err = err
		close(s.done)
	})
}

// await waits until it serves.
func (s *process) await(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-limited.Done():
		}
	}()
	if err := s.ask(limited); err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return fmt.Errorf("etcd %s does not serve on %s within %v; %s", s.program.Version, s.cfg.Listen, serveLimit, etcdproc.Tail(s.log()))
}

// ask is with the server's own certificate, if clients are to show one.
func (s *process) ask(ctx context.Context) error {
	if s.cfg.CertFile == "" {
		return etcdproc.Await(ctx, s.cfg.Listen, nil)
	}
	pair, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return err
	}
	return etcdproc.Await(ctx, s.cfg.Listen, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}) // it is ours
}

// Endpoint is its URL.
func (s *process) Endpoint() string {
	if s.cfg.CertFile != "" {
		return "https://" + s.cfg.Listen
	}
	return "http://" + s.cfg.Listen
}

// Addr is HOST:PORT.
func (s *process) Addr() string { return s.cfg.Listen }

// DataDir is the directory in use.
func (s *process) DataDir() string { return s.cfg.DataDir }

// Done is closed when it ends.
func (s *process) Done() <-chan struct{} { return s.done }

// Close ends it, and waits until it has gone. The error is that of an etcd which has ended by itself. Further calls do nothing
// and return the same.
func (s *process) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *process) close() error {
	s.end(nil)
	s.proc.Terminate()
	select {
	case <-s.ended:
	case <-time.After(quitLimit):
		s.proc.Kill()
		<-s.ended
	}
	return errors.Join(s.err, s.clear())
}

// clear removes what it has made, but the log if that tells why it ended.
func (s *process) clear() error {
	if s.release != nil {
		s.release()
	}
	if s.err != nil {
		return os.RemoveAll(filepath.Join(s.scratch, dataDir))
	}
	return os.RemoveAll(s.scratch)
}
