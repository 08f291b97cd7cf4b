package etcdserver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/server/hitch"
)

func TestServesAndCleansUp(t *testing.T) {
	s := run(t, quick())
	c := client(t, s)
	put(t, c, "k", "v")
	if got := get(t, c, "k"); got != "v" {
		t.Errorf("got %q", got)
	}
	members, err := c.MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if urls := members.Members[0].ClientURLs; len(urls) != 1 || urls[0] != s.Endpoint() {
		t.Errorf("advertised %v, want %v", urls, s.Endpoint())
	}
	select {
	case <-s.Done():
		t.Error("done too early")
	default:
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	<-s.Done()
	if _, err := os.Stat(s.DataDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

func TestRestart(t *testing.T) {
	cfg := quick()
	cfg.DataDir = filepath.Join(t.TempDir(), "not", "yet", "there")
	cfg.Listen = hitch.Addr(t)
	s := run(t, cfg)
	c := client(t, s)
	lease, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "k", "v", clientv3.WithLease(lease.ID))
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = run(t, cfg)
		// Both a client that was connected all the time and a new one.
		for _, c := range []*clientv3.Client{c, client(t, s)} {
			if got := get(t, c, "k"); got != "v" {
				t.Errorf("got %q", got)
			}
		}
		left, err := c.TimeToLive(t.Context(), lease.ID)
		if err != nil || left.TTL <= 0 || left.ClusterId != lease.ClusterId {
			t.Errorf("lease %+v of %+v: %v", left, lease, err)
		}
	}
}

func TestNewDirectoryIsNewCluster(t *testing.T) {
	var ids [2]uint64
	for i := range ids {
		r, err := client(t, run(t, quick())).Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = r.Header.ClusterId
	}
	if ids[0] == ids[1] {
		t.Errorf("both have cluster id %x", ids[0])
	}
}

// An open watch and a lease kept alive hold etcd's own shutdown up for 5 s.
func TestCloseDoesNotWaitForStreams(t *testing.T) {
	s := run(t, quick())
	c := client(t, s)
	if r := <-c.Watch(t.Context(), "k", clientv3.WithCreatedNotify()); !r.Created {
		t.Fatal(r)
	}
	lease, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := c.KeepAlive(t.Context(), lease.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-alive
	closeSoon(t, s)
}

// A connection that says nothing, as one through a stalled proxy, could hold
// etcd's shutdown up for ever.
func TestCloseDoesNotWaitForSilence(t *testing.T) {
	s := run(t, quick())
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	put(t, client(t, s), "k", "v") // so the connection before it was accepted
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestShortestLease(t *testing.T) {
	for timeout, want := range map[time.Duration]int64{0: 1, time.Second: 2} {
		cfg := quick()
		cfg.ElectionTimeout = timeout
		lease, err := client(t, run(t, cfg)).Grant(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if lease.TTL != want {
			t.Errorf("election timeout %v: granted %d s, want %d s", timeout, lease.TTL, want)
		}
	}
}

func TestOneOfManyStarts(t *testing.T) {
	cfg := quick()
	cfg.DataDir = t.TempDir()
	servers, errs := make([]*Server, 5), make([]error, 5)
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { servers[i], errs[i] = Start(t.Context(), cfg) })
	}
	wg.Wait()
	started := 0
	for i, s := range servers {
		switch {
		case s != nil:
			started++
			defer s.Close()
		case !errors.Is(errs[i], errInUse):
			t.Error(errs[i])
		}
	}
	if started != 1 {
		t.Errorf("%d servers run on one directory", started)
	}
}

// Whenever the context ends, there is a server or there is nothing.
func TestCancelledStart(t *testing.T) {
	for delay := time.Duration(0); delay < 150*time.Millisecond; delay += 7 * time.Millisecond {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		s, err := Start(ctx, quick())
		cancel()
		if s != nil {
			put(t, client(t, s), "k", "v")
			err = s.Close()
		} else if err == context.DeadlineExceeded {
			err = nil
		}
		if err != nil {
			t.Errorf("after %v: %v", delay, err)
		}
		if left, _ := os.ReadDir(tmp); len(left) > 0 {
			t.Errorf("after %v: left behind %v", delay, left)
		}
	}
}

// etcd gives up by logging a record that ends the process.
func TestEtcdGivesUp(t *testing.T) {
	s := run(t, quick())
	go s.etcd.GetLogger().Fatal("cannot save", zapError(errors.New("disk full")))
	<-s.Done()
	var err error
	if took := hitch.Ran(func() { err = s.Close() }); took > failedLimit/2 {
		t.Errorf("close took %v", took)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "etcdserver: cannot save: disk full") { // and no more, unless the machine held it up
		t.Errorf("close: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(s.DataDir()); errors.Is(err, os.ErrNotExist) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the temporary directory is still there: %v", err)
		}
	}
}

// In a child, as etcd may leave goroutines behind that write to its directory.
func TestDamagedLog(t *testing.T) {
	if child, _ := inChild(t); !child {
		return
	}
	for name, damage := range map[string]func(log []byte){
		"overwritten": func(log []byte) { copy(log, strings.Repeat("garbage!", 1000)) },
		"one byte":    func(log []byte) { log[bytes.Index(log, []byte("peerURLs"))] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quick()
			dir, err := os.MkdirTemp("", "") // the parent removes it
			if err != nil {
				t.Fatal(err)
			}
			cfg.DataDir = dir
			if err := run(t, cfg).Close(); err != nil {
				t.Fatal(err)
			}
			wal, _ := filepath.Glob(filepath.Join(cfg.DataDir, "member", "wal", "*.wal"))
			log, err := os.ReadFile(wal[0])
			if err != nil {
				t.Fatal(err)
			}
			damage(log)
			if err := os.WriteFile(wal[0], log, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, cfg, "data directory", cfg.DataDir)
		})
	}
}
