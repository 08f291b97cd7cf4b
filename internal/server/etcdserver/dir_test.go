package etcdserver

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestDirectoryInUse(t *testing.T) {
	cfg := quick()
	cfg.DataDir = t.TempDir()
	s := run(t, cfg)
	refused(t, cfg, "data directory", cfg.DataDir, errInUse.Error())
	put(t, client(t, s), "k", "still well")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// An etcd of somebody else, as far as its database shows.
	db, err := bolt.Open(filepath.Join(cfg.DataDir, "member", "snap", "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, "data directory", cfg.DataDir, errInUse.Error())
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, client(t, run(t, cfg)), "k"); got != "still well" {
		t.Errorf("got %q", got)
	}
}

func TestDamagedDatabase(t *testing.T) {
	cfg := quick()
	cfg.DataDir = t.TempDir()
	if err := run(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(cfg.DataDir, "member", "snap", "db")
	if err := os.WriteFile(db, []byte(strings.Repeat("garbage!", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, "data directory", db, "invalid database")
}

// Data from before the first request are set aside, data from after it are not.
func TestUnfinishedFirstStart(t *testing.T) {
	cfg := quick()
	cfg.DataDir = t.TempDir()
	mark := (&directory{path: cfg.DataDir}).mark()
	for _, finished := range []bool{true, false, false, true} {
		s := run(t, cfg)
		if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it serves, but the mark is there: %v", err)
		}
		put(t, client(t, s), "k", "v")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want := "v"
		if !finished {
			want = ""
			if err := os.WriteFile(mark, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = run(t, cfg)
		if got := get(t, client(t, s), "k"); got != want {
			t.Errorf("finished %v: got %q", finished, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Killed at any moment of its first start, a server can be started again. About
// one such kill in sixty leaves etcd data that it would never be ready with.
func TestKilledFirstStart(t *testing.T) {
	cfg := quick()
	if cfg.DataDir = os.Getenv("ETCDSERVER_TEST_DIR"); cfg.DataDir != "" {
		println("starting")
		run(t, cfg)
		select {}
	}
	for range 4 {
		cfg.DataDir = t.TempDir()
		cmd := child(t, "ETCDSERVER_TEST_DIR="+cfg.DataDir)
		started, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(started).ReadString('\n'); err != nil {
			t.Error(err)
		}
		time.Sleep(rand.N(100 * time.Millisecond)) // the moment of the kill
		cmd.Process.Kill()
		cmd.Wait()
		put(t, client(t, run(t, cfg)), "k", "v")
	}
}
