//go:build linux

package main

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Systemd is told of a candidate that waits, that leads and that ends, and that it is alive all the while. The program
// cannot speak in its name.
func TestRunNotifies(tt *testing.T) {
	tt.Parallel()
	t := newRunTest(tt)
	socket := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hears := func(want string) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		var heard []string
		for buffer := make([]byte, 1<<10); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatalf("not told %q, but %q: %v", want, heard, err)
			}
			if heard = append(heard, string(buffer[:n])); strings.HasPrefix(heard[len(heard)-1], want) {
				return
			}
		}
	}
	first := t.run("--id first --ttl 1m", "record", t.dir)
	t.recorders(1)
	cmd := exec.Command("locked", "run", "/run", "--endpoints", t.etcd.Endpoint(), "--id", "second", "--ttl", "1m", "--notify", "--",
		"sh", "-c", `test -z "$NOTIFY_SOCKET$WATCHDOG_USEC" && exec sleep 1000`)
	cmd.Env = append(t.environment(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tt.Cleanup(func() { _ = cmd.Process.Kill() })
	hears("READY=1")
	hears("STATUS=Waits at /run: first leads")
	hears("WATCHDOG=1")
	_ = first.Process.Signal(syscall.SIGTERM)
	hears("STATUS=Leads /run with token ")
	hears("WATCHDOG=1")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	hears("STOPPING=1")
	go io.Copy(io.Discard, conn) // as systemd does, until the socket is closed
	if got := codeOf(t, cmd); got != 143 {
		t.Errorf("exit code %d, want 143", got)
	}
}

// A run ends in time though nobody takes what it tells systemd.
func TestRunNotifiesNobody(tt *testing.T) {
	tt.Parallel()
	t := newRunTest(tt)
	socket := filepath.Join(t.TempDir(), "s")
	addr := &net.UnixAddr{Name: socket, Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	full, err := net.DialUnix("unixgram", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_ = full.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for err == nil {
		_, err = full.Write([]byte("nobody reads this"))
	}
	cmd := exec.Command("locked", "run", "/run", "--endpoints", t.etcd.Endpoint(), "--ttl", "1m", "--notify", "--", "true")
	cmd.Env = append(t.environment(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tt.Cleanup(func() { _ = cmd.Process.Kill() })
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if got := codeOf(t, cmd); got != 0 {
		t.Errorf("exit code %d: it did not end for want of a reader", got)
	}
}
