package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigRefusals(t *testing.T) {
	for _, test := range []struct {
		cfg   Config
		field string
		want  string
	}{
		{Config{Listen: "7070"}, "Listen", "must be IP:PORT"},
		{Config{Listen: ":7070"}, "Listen", "must be IP:PORT"},
		{Config{Listen: "example.com:7070"}, "Listen", "must be an IP address or localhost"},
		{Config{Listen: "127.0.0.1:x"}, "Listen", "number from 0 to 65535"},
		{Config{Listen: "0.0.0.0:7070"}, "Listen", "needs TLS"},
		{Config{Listen: "[::]:7070", TokenFile: "t"}, "Listen", "needs TLS"},
		{Config{Listen: "10.0.0.1:7070", CertFile: "c", KeyFile: "k"}, "Listen", "give TokenFile or ClientCAFile"},
		{Config{Listen: "unix:"}, "Listen", "must name a file"},
		{Config{CertFile: "c"}, "KeyFile", "together with CertFile"},
		{Config{KeyFile: "k"}, "CertFile", "together with KeyFile"},
		{Config{ClientCAFile: "ca"}, "ClientCAFile", "needs CertFile"},
		{Config{Prefix: "web"}, "Prefix", "begin with a slash"},
		{Config{MaxCandidacies: -1}, "MaxCandidacies", "more than 0"},
		{Config{TokenFile: "/does/not/exist"}, "TokenFile", "no such file"},
		{Config{CertFile: "/does/not/exist", KeyFile: "k"}, "CertFile", "no such file"},
	} {
		_, err := New(nil, test.cfg)
		var config *ConfigError
		if !errors.As(err, &config) || config.Field != test.field || !strings.Contains(config.Want, test.want) {
			t.Errorf("%+v: %v, want a refusal of %s: %s", test.cfg, err, test.field, test.want)
		}
	}
}

// do sends a request with headers, and gives the status and the type of the problem.
func (s *server) do(method, path string, header http.Header) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = header.Get("Host")
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" { // it does not end
		return resp.StatusCode, ""
	}
	body, _ := io.ReadAll(resp.Body)
	_, kind, _ := strings.Cut(string(body), `"urn:locked:`)
	kind, _, _ = strings.Cut(kind, `"`)
	return resp.StatusCode, kind
}

// A page of another origin can make a browser send requests here, under its own name or across origins.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.AllowHosts = []string{"Locked.example"} })
	const leader, transfer = "/v1/elections/web/leader", "/v1/elections/web/transfer"
	for _, test := range []struct {
		method, path string
		header       http.Header
		status       int
		kind         string
	}{
		{"GET", leader, http.Header{}, 503, ""},
		{"GET", leader, http.Header{"Host": {"localhost:7070"}}, 503, ""},
		{"GET", leader, http.Header{"Host": {"[::1]:7070"}}, 503, ""},
		{"GET", leader, http.Header{"Host": {"10.1.2.3"}}, 503, ""},
		{"GET", leader, http.Header{"Host": {"locked.example:443"}}, 503, ""},
		{"GET", leader, http.Header{"Host": {"evil.example"}}, 421, "unknown-host"},
		{"GET", leader, http.Header{"Host": {"localhost.evil.example"}}, 421, "unknown-host"},
		{"GET", "/", http.Header{"Host": {"evil.example"}}, 421, "unknown-host"},
		{"GET", leader, http.Header{"Sec-Fetch-Site": {"same-origin"}}, 503, ""},
		{"GET", leader, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "cross-origin"},
		{"GET", leader, http.Header{"Sec-Fetch-Site": {"same-site"}}, 403, "cross-origin"},
		{"GET", leader, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, 403, "cross-origin"},
		{"POST", transfer, http.Header{"Origin": {"http://evil.example"}}, 403, "cross-origin"},
		{"POST", transfer, http.Header{"Origin": {"null"}}, 403, "cross-origin"},
		{"POST", transfer, http.Header{"Origin": {s.agent.URL()}}, 404, "no-leader"},
	} {
		if status, kind := s.do(test.method, test.path, test.header); status != test.status || kind != test.kind {
			t.Errorf("%s %s %v: %d %q, want %d %q", test.method, test.path, test.header, status, kind, test.status, test.kind)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	const web, all = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "# one a line\n\n"+web+" /web/ /jobs/\n"+all+" /\n")
	s := newServer(t, func(c *Config) { c.TokenFile = file })
	for _, test := range []struct {
		path, token string
		status      int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/openapi.yaml", "", 200},
		{"/metrics", "", 401},
		{"/v1/elections", "", 401},
		{"/v1/elections/web%2Fa/candidates", "", 401},
		{"/v1/elections/web%2Fa/candidates", "aaaaaaaaaaaaaaab", 401},
		{"/v1/elections/web%2Fa/candidates", web[:15], 401},
		{"/v1/elections/web%2Fa/candidates", web, 200},
		{"/v1/elections/%2Fweb%2Fa/candidates", web, 200},
		{"/v1/elections/jobs%2Fa/candidates", web, 200},
		{"/v1/elections/web/candidates", web, 403},
		{"/v1/elections/other/candidates", web, 403},
		{"/v1/elections/other/candidates", all, 200},
		{"/v1/elections", web, 403},
		{"/v1/elections?prefix=web/", web, 200},
		{"/v1/elections?prefix=web/a", web, 200},
		{"/v1/elections?prefix=we", web, 403},
		{"/v1/events", web, 403},
		{"/v1/elections", all, 200},
		{"/metrics", web, 200},
	} {
		header := http.Header{}
		if test.token != "" {
			header.Set("Authorization", "Bearer "+test.token)
		}
		if status, _ := s.do("GET", test.path, header); status != test.status {
			t.Errorf("GET %s with the token %q: %d, want %d", test.path, test.token, status, test.status)
		}
	}
	// The file is read again, and one with mistakes changes nothing.
	s.agent.tokens.mu.Lock()
	s.agent.tokens.looked = time.Time{}
	s.agent.tokens.mu.Unlock()
	write(t, file, "short /\n")
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.agent.tokens.find(all); !ok {
		t.Error("a token file with mistakes has taken the tokens away")
	}
	s.agent.tokens.looked = time.Time{}
	write(t, file, "cccccccccccccccc /\n")
	if _, ok := s.agent.tokens.find(all); ok {
		t.Error("a token that was taken away still holds")
	}
	if _, ok := s.agent.tokens.find("cccccccccccccccc"); !ok {
		t.Error("a new token does not hold")
	}
}

func TestParseTokens(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "no token",
		"# only a comment\n":            "no token",
		"short /\n":                     "line 1: the token has 5 characters",
		"aaaaaaaaaaaaaaaa\n":            "line 1: after the token",
		"\n\naaaaaaaaaaaaaaaa web\n":    "line 3: the path prefix",
		strings.Repeat("a", 100*1024):   "token too long",
		"aaaaaaaaaaaaaaaa / /b /c\n#\n": "",
	} {
		_, err := parseTokens([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// An agent with a prefix serves those elections, and no others.
func TestPrefix(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.Prefix = "/team/" })
	s.want(403, "GET", "/v1/elections/web", "")
	s.want(403, "POST", "/v1/elections/web/campaign", "value=x")
	s.campaign("team/web", "a").await("select")
	if list := s.want(200, "GET", "/v1/elections", "")["elections"].([]any); len(list) != 1 {
		t.Errorf("elections %v", list)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "agent") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "s")
	if stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"}); err != nil {
		t.Fatal(err)
	} else {
		stale.SetUnlinkOnClose(false)
		stale.Close()
	}
	s := newServer(t, func(c *Config) { c.Listen = "unix:" + file })
	s.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", file)
	}}
	s.url = "http://localhost"
	if _, err := New(nil, Config{Listen: "unix:" + file}); err == nil {
		t.Error("two agents listen at the same socket")
	}
	a := s.campaign("web", "a", "ttl", "30s")
	a.await("select")
	b := s.campaign("web", "b", "ttl", "2s")
	b.await("change")
	a.close()
	b.await("select")

	// Who does not read is noticed here too.
	c := s.campaign("web", "c", "ttl", "2s")
	c.await("change")
	l := s.listen("GET", "/v1/elections/alone/events", "")
	raw, err := net.Dial("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := io.WriteString(raw, "POST /v1/elections/alone/campaign?id=x&value=x&ttl=1s HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	l.await("change")
	l.await("vacant")
}

// testCerts writes an authority, and a certificate for this machine that it has signed.
func testCerts(t *testing.T) (ca, cert, key string, config *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(caKey)
	if err != nil {
		t.Fatal(err)
	}
	var certPEM, keyPEM bytes.Buffer
	_ = pem.Encode(&certPEM, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&keyPEM, &pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, certPEM.String())
	write(t, key, keyPEM.String())
	pair, err := tls.X509KeyPair(certPEM.Bytes(), keyPEM.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM.Bytes())
	return cert, cert, key, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
}

// Over TLS, with a certificate that callers must show.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca, cert, key, config := testCerts(t)
	s := newServer(t, func(c *Config) { c.Listen, c.CertFile, c.KeyFile, c.ClientCAFile = "0.0.0.0:0", cert, key, ca })
	port := s.agent.listener.Addr().(*net.TCPAddr).Port
	s.url = (&url.URL{Scheme: "https", Host: net.JoinHostPort("127.0.0.1", big.NewInt(int64(port)).String())}).String()
	s.client.Transport = &http.Transport{TLSClientConfig: config}
	a := s.campaign("web", "a", "ttl", "2s")
	a.await("select")
	b := s.campaign("web", "b", "ttl", "2s")
	b.await("change")
	a.close()
	b.await("select")
	stranger := config.Clone()
	stranger.Certificates = nil
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: stranger}}
	defer other.CloseIdleConnections()
	if resp, err := other.Get(s.url + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("somebody without a certificate was answered")
	}
}
