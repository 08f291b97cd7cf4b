package etcdserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// selfSigned writes a certificate that is its own authority, good for servers
// and clients, and returns the names of its files.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	c, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return pemFile(t, dir, "CERTIFICATE", c), pemFile(t, dir, "PRIVATE KEY", der)
}

func pemFile(t *testing.T, dir, kind string, der []byte) string {
	t.Helper()
	name := filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")+".pem")
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(name, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTLS(t *testing.T) {
	cfg := quick()
	cfg.CertFile, cfg.KeyFile = selfSigned(t)
	cfg.ClientCAFile = cfg.CertFile
	s := run(t, cfg)
	if !strings.HasPrefix(s.Endpoint(), "https://127.0.0.1:") {
		t.Errorf("endpoint %v", s.Endpoint())
	}

	pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(pair.Leaf)
	with := &tls.Config{RootCAs: known, Certificates: []tls.Certificate{pair}}
	c := connect(t, clientv3.Config{Endpoints: []string{s.Endpoint()}, TLS: with})
	put(t, c, "k", "v")
	if r := <-c.Watch(t.Context(), "k", clientv3.WithCreatedNotify()); !r.Created {
		t.Fatal(r)
	}

	without := &tls.Config{RootCAs: known}
	stranger := connect(t, clientv3.Config{Endpoints: []string{s.Endpoint()}, TLS: without})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := stranger.Get(ctx, "k"); err == nil {
		t.Error("a client without a certificate got through")
	}

	closeSoon(t, s)
}
