package agent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Config says what an agent serves, and to whom.
type Config struct {
	// Listen is HOST:PORT, with 0 for a free port, or unix:FILE for a socket. An address that is not of the loopback needs
	// TLS, and a token file or a client CA.
	Listen string

	// Prefix is what the paths of the elections that it serves begin with, "/" if empty.
	Prefix string

	// CertFile and KeyFile turn TLS on; ClientCAFile makes callers show a certificate signed by one of these authorities.
	// PEM files.
	CertFile, KeyFile, ClientCAFile string

	// TokenFile has the bearer tokens, one of which a request must have. Without it everybody who can connect may do
	// everything.
	TokenFile string

	// AllowHosts are the names, besides localhost and addresses, by which callers may call the agent.
	AllowHosts []string

	// Most candidacies, streams of those who only look, and connections at a time. 0 is a default.
	MaxCandidacies, MaxViewers, MaxConnections int

	// DrainTimeout is how long an agent that is asked to end waits for callers to end their work. 0 is DefaultDrain.
	DrainTimeout time.Duration

	// Logger is told of what goes wrong. Nil: silence.
	Logger *slog.Logger
}

// Defaults of a [Config].
const (
	DefaultListen         = "127.0.0.1:7070"
	DefaultDrain          = 15 * time.Second
	DefaultMaxCandidacies = 20_000
	DefaultMaxViewers     = 1_000
	DefaultMaxConnections = 32_000
)

// ConfigError refuses a setting: Field names it as in [Config].
type ConfigError struct{ Field, Value, Want string }

func (e *ConfigError) Error() string {
	return fmt.Sprintf("agent: %s %q: %s", e.Field, e.Value, e.Want)
}

// Check refuses what cannot work or is not safe, as [New] does, without doing anything.
func (c Config) Check() error {
	if err := c.check(); err != nil {
		return err
	}
	if _, err := c.tls(); err != nil {
		return err
	}
	_, err := c.tokens()
	return err
}

// check fills in defaults, and refuses what cannot work or is not safe.
func (c *Config) check() error {
	setDefault(&c.Listen, DefaultListen)
	setDefault(&c.Prefix, "/")
	setDefault(&c.MaxCandidacies, DefaultMaxCandidacies)
	setDefault(&c.MaxViewers, DefaultMaxViewers)
	setDefault(&c.MaxConnections, DefaultMaxConnections)
	setDefault(&c.DrainTimeout, DefaultDrain)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for i, h := range c.AllowHosts {
		c.AllowHosts[i] = strings.ToLower(h)
	}
	switch {
	case !strings.HasPrefix(c.Prefix, "/"):
		return &ConfigError{"Prefix", c.Prefix, "must begin with a slash"}
	case c.MaxCandidacies < 0:
		return &ConfigError{"MaxCandidacies", strconv.Itoa(c.MaxCandidacies), "must be more than 0"}
	case c.MaxViewers < 0:
		return &ConfigError{"MaxViewers", strconv.Itoa(c.MaxViewers), "must be more than 0"}
	case c.MaxConnections < 0:
		return &ConfigError{"MaxConnections", strconv.Itoa(c.MaxConnections), "must be more than 0"}
	case c.DrainTimeout < 0:
		return &ConfigError{"DrainTimeout", c.DrainTimeout.String(), "must be more than 0"}
	case c.CertFile == "" && c.KeyFile != "":
		return &ConfigError{"CertFile", "", "must be given together with KeyFile"}
	case c.CertFile != "" && c.KeyFile == "":
		return &ConfigError{"KeyFile", "", "must be given together with CertFile"}
	case c.ClientCAFile != "" && c.CertFile == "":
		return &ConfigError{"ClientCAFile", c.ClientCAFile, "needs CertFile and KeyFile too"}
	}
	return c.checkListen()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) checkListen() error {
	if file, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		if file == "" {
			return &ConfigError{"Listen", c.Listen, "must name a file after unix:"}
		}
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	switch {
	case err != nil || host == "":
		return &ConfigError{"Listen", c.Listen, "must be IP:PORT, such as " + DefaultListen + ", or unix:FILE"}
	case ip == nil && host != "localhost":
		return &ConfigError{"Listen", c.Listen, "the host must be an IP address or localhost"}
	case ip == nil || ip.IsLoopback():
	case c.CertFile == "":
		return &ConfigError{"Listen", c.Listen, "can be reached from other machines, and needs TLS: give CertFile and KeyFile, or listen on 127.0.0.1"}
	case c.TokenFile == "" && c.ClientCAFile == "":
		return &ConfigError{"Listen", c.Listen, "can be reached from other machines, where everybody could lead: give TokenFile or ClientCAFile, or listen on 127.0.0.1"}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return &ConfigError{"Listen", c.Listen, "the port must be a number from 0 to 65535"}
	}
	return nil
}

// tokens gives those of the file, nil for none.
func (c *Config) tokens() (*tokens, error) {
	if c.TokenFile == "" {
		return nil, nil
	}
	t, err := readTokens(c.TokenFile, c.Logger)
	if err != nil {
		return nil, &ConfigError{"TokenFile", c.TokenFile, err.Error()}
	}
	return t, nil
}

// tls gives the settings for callers, nil for none.
func (c *Config) tls() (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, &ConfigError{"CertFile", c.CertFile, "with KeyFile " + c.KeyFile + ": " + err.Error()}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.ClientCAFile != "" {
		pem, err := os.ReadFile(c.ClientCAFile)
		if err != nil {
			return nil, &ConfigError{"ClientCAFile", c.ClientCAFile, err.Error()}
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, &ConfigError{"ClientCAFile", c.ClientCAFile, "there is no PEM certificate in it"}
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}
