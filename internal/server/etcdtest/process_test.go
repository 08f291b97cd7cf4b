package etcdtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/hitch"
)

func begin(t *testing.T, cfg etcdserver.Config) *process {
	t.Helper()
	cfg.NoFsync = true
	s, err := startProcess(t.Context(), anEtcd(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // each test looks itself
	return s
}

func client(t *testing.T, s Server, secure *tls.Config) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, TLS: secure, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, s Server, secure *tls.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client(t, s, secure).Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
}

// A process serves at once, leaves nothing behind, and shortens leases as its configuration says.
func TestProcess(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := begin(t, etcdserver.Config{})
	put(t, s, nil)
	if s.Endpoint() != "http://"+s.Addr() {
		t.Errorf("endpoint %s, address %s", s.Endpoint(), s.Addr())
	}
	lease, err := client(t, s, nil).Grant(t.Context(), 1)
	if err != nil || lease.TTL != 1 {
		t.Errorf("granted %v: %v", lease, err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	<-s.Done()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if l, err := net.Listen("tcp", s.Addr()); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

// Again on the same directory and address it has what it had, though a watch was open when it was closed.
func TestProcessAgain(t *testing.T) {
	cfg := etcdserver.Config{DataDir: t.TempDir(), Listen: hitch.Addr(t)}
	s := begin(t, cfg)
	put(t, s, nil)
	c := client(t, s, nil)
	if r := <-c.Watch(t.Context(), "k", clientv3.WithCreatedNotify()); !r.Created {
		t.Fatal(r)
	}
	if took := hitch.Ran(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}); took > 3*quitLimit {
		t.Errorf("close took %v", took)
	}
	begin(t, cfg)
	if r, err := c.Get(t.Context(), "k"); err != nil || len(r.Kvs) != 1 {
		t.Error(r, err)
	}
}

// An etcd that ends by itself is seen to, and says why; so does one that never serves.
func TestProcessEnds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := begin(t, etcdserver.Config{})
	s.proc.Kill()
	<-s.Done()
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "has ended: signal: killed; its log "+s.log()) {
		t.Error(err)
	}
	if _, err := os.Stat(s.DataDir()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the data are still there:", err)
	}

	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	if _, err = startProcess(t.Context(), s.program, etcdserver.Config{Listen: used.Addr().String()}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = startProcess(ctx, s.program, etcdserver.Config{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Certificates on both sides.
func TestProcessTLS(t *testing.T) {
	cert, key := selfSigned(t)
	s := begin(t, etcdserver.Config{CertFile: cert, KeyFile: key, ClientCAFile: cert})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(pair.Leaf)
	if !strings.HasPrefix(s.Endpoint(), "https://") {
		t.Errorf("endpoint %s", s.Endpoint())
	}
	put(t, s, &tls.Config{RootCAs: known, Certificates: []tls.Certificate{pair}})
}

// selfSigned writes a certificate that is its own authority.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), "pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("CERTIFICATE", cert), write("PRIVATE KEY", keyDER)
}
