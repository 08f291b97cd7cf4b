package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// certs makes an authority, and what it signs for a server on this machine and for a client.
func certs(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 0, "certs")
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	signer := newKey(ts)
	writePEM(ts, "ca.pem", "CERTIFICATE", sign(ts, authority, authority, signer, signer))
	for i, name := range []string{"server", "client"} {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		key := newKey(ts)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		ts.Check(err)
		writePEM(ts, name+".pem", "CERTIFICATE", sign(ts, leaf, authority, key, signer))
		writePEM(ts, name+".key", "PRIVATE KEY", der)
	}
}

func newKey(ts *testscript.TestScript) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	return key
}

func sign(ts *testscript.TestScript, cert, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), signer)
	ts.Check(err)
	return der
}

func writePEM(ts *testscript.TestScript, name, kind string, der []byte) {
	writeFile(ts, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
