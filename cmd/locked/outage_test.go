//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked/internal/server/port"
)

// In an outage of 80 s a campaign and a run say that it begins, why, and what is at stake; that it lasts; and that it is over.
// That is no more than five lines each, with the one on the end of the term.
func TestOutageLines(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 80 s")
	}
	t.Parallel()
	addr, release, err := port.Keep()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	dir := t.TempDir()
	start := func(name string, args ...string) *exec.Cmd {
		out, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { out.Close() })
		cmd := exec.Command("locked", args...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd
	}
	says := func(name, what string) string {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if bytes.Contains(b, []byte(what)) {
				return string(b)
			}
			if time.Now().After(end) {
				t.Fatalf("%s has not said %q (%v):\n%s", name, what, err, b)
			}
		}
	}
	serve := func(name string) *exec.Cmd {
		s := start(name, "server", "--listen", addr, "--data-dir", filepath.Join(dir, "data"), "-o", "json")
		says(name, "endpoint")
		return s
	}
	server := serve("server")
	start("campaign", "campaign", "/c", "--id", "c", "--value", "1", "--ttl", "30", "--endpoints", addr)
	start("run", "run", "/r", "--id", "r", "--ttl", "30", "--restart", "--endpoints", addr, "--", "sh", "-c", "echo begun; exec sleep 1000")
	before := map[string]string{"campaign": says("campaign", "c leads from now on"), "run": says("run", "begun")}
	_ = server.Process.Kill()
	_ = server.Wait()
	time.Sleep(80 * time.Second)
	serve("server again")
	for name, at := range map[string]string{"campaign": "c leads until ", "run": "the program is told to end at "} {
		const last = "etcd answers again"
		told, _, _ := strings.Cut(strings.TrimPrefix(says(name, last), before[name]), last)
		lines := strings.Split(told, "\n")
		if len(lines) > 5 {
			t.Errorf("%s has told %d lines in an outage of 80 s:\n%s", name, len(lines), told)
		}
		if first := lines[0]; !strings.Contains(first, "connection refused") || !strings.Contains(first, at) {
			t.Errorf("%s begins with %q", name, first)
		}
	}
}
