package etcdserver

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/samcday/locked/internal/server/hitch"
)

func zapError(err error) zap.Field { return zap.Error(err) }

// Each refusal is immediate and names the setting and its value.
func TestRefusals(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(file, "dir")
	const listen, dir = "listen address ", "data directory "
	for name, tt := range map[string]struct {
		cfg   Config
		wants []string
	}{
		"no port":       {Config{Listen: "127.0.0.1"}, []string{listen, `"127.0.0.1"`, "HOST:PORT"}},
		"no host":       {Config{Listen: ":2379"}, []string{listen, `":2379"`, "no host"}},
		"URL":           {Config{Listen: "http://127.0.0.1:2379"}, []string{listen, `"http://127.0.0.1:2379"`}},
		"host name":     {Config{Listen: "example.org:1"}, []string{listen, `"example.org:1"`, "IP address"}},
		"named port":    {Config{Listen: "127.0.0.1:http"}, []string{listen, `"127.0.0.1:http"`, "number"}},
		"port range":    {Config{Listen: "127.0.0.1:65536"}, []string{listen, `"127.0.0.1:65536"`, "65535"}},
		"used port":     {Config{Listen: used}, []string{listen, used, "in use"}},
		"not our host":  {Config{Listen: "192.0.2.1:0"}, []string{listen, `"192.0.2.1:0"`, "assign"}},
		"a file":        {Config{DataDir: file}, []string{dir, file, "not a directory"}},
		"below a file":  {Config{DataDir: below}, []string{dir, below, "not a directory"}},
		"read-only":     {Config{DataDir: "/proc/self"}, []string{dir, `"/proc/self"`}},
		"election":      {Config{ElectionTimeout: time.Minute}, []string{"election timeout 1m0s", "50s"}},
		"token TTL":     {Config{TokenTTL: 1500 * time.Millisecond}, []string{"token TTL 1.5s", "whole seconds"}},
		"no key":        {Config{CertFile: "c.pem"}, []string{`certificate file "c.pem"`, `key file ""`}},
		"no such files": {Config{CertFile: "c.pem", KeyFile: "k.pem"}, []string{`"c.pem"`, `"k.pem"`, "no such file"}},
		"CA alone":      {Config{ClientCAFile: "ca.pem"}, []string{`client CA file "ca.pem"`, "key"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tt.cfg, tt.wants...) })
	}
}

func refused(t *testing.T, cfg Config, wants ...string) {
	t.Helper()
	var s *Server
	var err error
	if took := hitch.Ran(func() { s, err = Start(t.Context(), cfg) }); took > 5*time.Second { // at once, on a busy machine
		t.Errorf("took %v", took)
	}
	if err == nil {
		s.Close()
		t.Fatal("started")
	}
	for _, want := range append(wants, "etcdserver: ") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestDecidePort(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1",
		"localhost:0": "localhost",
		"0.0.0.0:0":   "127.0.0.1",
		"[::]:0":      "::1",
	} {
		bind, addr, err := decidePort(listen)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host != want || port == "0" {
			t.Errorf("%v is reached at %v: %v", listen, addr, err)
		}
		wantBind := strings.TrimSuffix(listen, "0") + port
		if bind != wantBind {
			t.Errorf("%v became %v, want %v", listen, bind, wantBind)
		}
	}
}

func TestTokenTTL(t *testing.T) {
	cfg := Config{TokenTTL: 2 * time.Second}
	if got := cfg.embed("", "", "").AuthTokenTTL; got != 2 {
		t.Errorf("got %d s", got)
	}
	if got := (&Config{}).embed("", "", "").AuthTokenTTL; got != 300 {
		t.Errorf("by default %d s", got)
	}
}
