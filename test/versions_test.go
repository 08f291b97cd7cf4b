package test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// versioned is an etcd whose members say what version they have, one after the other.
type versioned struct {
	clientv3.Maintenance
	mu       sync.Mutex
	versions []string // "" for one that does not answer
	asked    int
}

func (v *versioned) Status(ctx context.Context, _ string) (*clientv3.StatusResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	version := v.versions[v.asked%len(v.versions)]
	v.asked++
	switch version {
	case "":
		return nil, errors.New("no answer")
	case "silence":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &clientv3.StatusResponse{Version: version}, nil
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// of gives the lines that have some words in them.
func (l *lines) of(words string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// What is known of etcd's versions is told once, each version in a line.
func TestVersions(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	maintenance := &versioned{versions: []string{"3.5.2", "", "3.7.3", "3.5.2"}}
	log := new(lines)
	l := lockerOn(t, maintained(t, e, maintenance), locked.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	start(t, candidate(t, l, "/p", "a"))
	start(t, candidateFor(t, l, "/p", "b", 2*time.Minute)) // gets a lease of its own
	if granted := log.of("lease granted"); len(granted) != 2 {
		t.Errorf("%d leases", len(granted))
	}
	eventually(t, "all endpoints are asked", func() bool {
		return len(log.of(`"etcd version"`)) == 1 && len(log.of("level=WARN")) == 1 && len(log.of("not told")) == 1
	})
	warned := log.of("level=WARN")[0]
	for _, want := range []string{"version=3.5.2", "a member that is killed under load", `take="3.5.28 or later"`} {
		if !strings.Contains(warned, want) {
			t.Errorf("no %q in %s", want, warned)
		}
	}
	if healthy := log.of(`"etcd version"`)[0]; !strings.Contains(healthy, "level=DEBUG") || !strings.Contains(healthy, "version=3.7.3") {
		t.Error(healthy)
	}
	if maintenance.mu.Lock(); maintenance.asked != len(maintenance.versions) {
		t.Errorf("asked %d times", maintenance.asked)
	}
	maintenance.mu.Unlock()
}

// A locker without a log asks nothing.
func TestVersionsUnheard(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	maintenance := &versioned{versions: []string{"3.5.2"}}
	l, err := locked.NewFromClient(maintained(t, e, maintenance))
	if err != nil {
		t.Fatal(err)
	}
	start(t, candidate(t, closing(t, l), "/p", "a"))
	if err := l.Close(patient(t)); err != nil {
		t.Error(err)
	}
	if maintenance.asked != 0 {
		t.Errorf("asked %d times", maintenance.asked)
	}
}

// Law 11: a locker that is closed does not wait for an endpoint to tell its version.
func TestLaw11UntoldVersion(t *testing.T) {
	t.Parallel()
	e := server(t, etcdserver.Config{})
	log := new(lines)
	l := lockerOn(t, maintained(t, e, &versioned{versions: []string{"silence"}}), locked.WithRequestTimeout(time.Minute),
		locked.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	start(t, candidate(t, l, "/p", "a"))
	began := time.Now()
	if err := l.Close(patient(t)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > soon/2 {
		t.Errorf("it took %v", took)
	}
}

// maintained gives a client with as many endpoints as there are versions.
func maintained(t *testing.T, e *etcdServer, m *versioned) *clientv3.Client {
	t.Helper()
	c := dial(t, clientv3.Config{Endpoints: []string{e.Endpoint()}})
	endpoints := make([]string, len(m.versions))
	for i := range endpoints {
		endpoints[i] = e.Endpoint()
	}
	c.SetEndpoints(endpoints...)
	m.Maintenance, c.Maintenance = c.Maintenance, m
	return c
}
