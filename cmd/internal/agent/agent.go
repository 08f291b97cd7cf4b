package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

// Agent is one HTTP service. Make it with [New], then let it [Agent.Serve].
type Agent struct {
	cfg      Config
	log      *slog.Logger
	locker   *locked.Locker
	cache    *cache
	registry *registry
	tokens   *tokens // nil: everybody may do everything

	unix     bool
	listener *listener
	server   *http.Server
	viewers  atomic.Int64
	ending   chan struct{} // closed when those who look must go
	drains   atomic.Bool
}

// Limits of a request, against callers that are slow or want too much.
const (
	maxHeaders    = 16 << 10
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	readTimeout   = 30 * time.Second // of a whole request
	writeTimeout  = time.Minute      // of an answer that is no stream
)

// New checks the configuration, and listens. The client stays the caller's, and must live longer than the agent.
func New(client *clientv3.Client, cfg Config, opts ...locked.Option) (*Agent, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, log: cfg.Logger, cache: newCache(client, cfg.Prefix), registry: newRegistry(cfg.MaxCandidacies),
		ending: make(chan struct{}),
	}
	var err error
	if a.tokens, err = cfg.tokens(); err != nil {
		return nil, err
	}
	transport, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	if a.locker, err = locked.NewFromClient(client, append(opts, locked.WithLogger(a.log))...); err != nil {
		return nil, err
	}
	if err := a.listen(); err != nil {
		_ = a.locker.Close(context.Background()) // it has no nodes
		return nil, err
	}
	a.server = &http.Server{
		Handler: a.routes(), ConnContext: withConn, TLSConfig: transport, MaxHeaderBytes: maxHeaders,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
	}
	a.server.Protocols.SetHTTP1(true) // one connection for each stream: its end must mean the end of that stream alone
	return a, nil
}

// spareFiles are for what is not a connection of a caller.
const spareFiles = 200

func (a *Agent) listen() error {
	network, address := "tcp", a.cfg.Listen
	if file, ok := strings.CutPrefix(a.cfg.Listen, "unix:"); ok {
		network, address, a.unix = "unix", file, true
		if err := removeStale(file); err != nil {
			return err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	most := a.cfg.MaxConnections
	if files := openFiles(); files < most+spareFiles {
		most = max(files-spareFiles, 1)
		a.log.Info("the system allows fewer open files than there may be connections", "open_files", files, "connections", most)
	}
	a.listener = &listener{Listener: l, most: int64(most)}
	return nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(file string) error {
	info, err := os.Lstat(file)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // net.Listen says what is wrong, if anything
	}
	c, err := net.Dial("unix", file)
	if err == nil {
		_ = c.Close()
		return &ConfigError{"Listen", "unix:" + file, "somebody else listens there"}
	}
	return os.Remove(file)
}

// URL is where the agent is reached.
func (a *Agent) URL() string {
	switch {
	case a.unix:
		return "unix:" + a.listener.Addr().String()
	case a.server.TLSConfig != nil:
		return "https://" + a.listener.Addr().String()
	}
	return "http://" + a.listener.Addr().String()
}

// Serve serves until ctx ends. Then it takes no more campaigns, stops those that there are, hands over what they lead when
// their callers have ended their work, tells them, and closes everything. The error says what could not be done in time.
func (a *Agent) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		l := net.Listener(a.listener)
		if a.server.TLSConfig != nil {
			l = tls.NewListener(l, a.server.TLSConfig)
		}
		served <- a.server.Serve(l)
	}()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- err
	}
	return errors.Join(unlessClosed(err), a.shutdown(), unlessClosed(<-served))
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown hands over first, and closes then.
func (a *Agent) shutdown() error {
	a.drains.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.DrainTimeout)
	defer cancel()
	err := a.registry.drain(ctx)
	if err != nil {
		err = fmt.Errorf("not everything was handed over within %v, the rest ends with its leases: %w", a.cfg.DrainTimeout, err)
	}
	close(a.ending)
	last, cancelLast := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancelLast()
	if a.server.Shutdown(last) != nil {
		_ = a.server.Close()
	}
	a.cache.close()
	closing, cancelClosing := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancelClosing()
	left := a.locker.Close(closing)
	if err != nil || left == nil {
		return err // it says why
	}
	return fmt.Errorf("etcd did not confirm that nothing was left of the candidacies, the rest ends with its leases: %w", left)
}

// viewing counts one who looks, and refuses him if there are too many.
func (a *Agent) viewing() (done func(), err error) {
	if a.viewers.Add(1) > int64(a.cfg.MaxViewers) {
		a.viewers.Add(-1)
		return nil, newProblem(http.StatusServiceUnavailable, "too-many",
			"this agent has the %d open event streams that it allows", a.cfg.MaxViewers).after(time.Second)
	}
	return func() { a.viewers.Add(-1) }, nil
}
