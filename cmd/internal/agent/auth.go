package agent

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// authorize lets a request through that comes from whom it seems to come from, and may do what it asks for.
func (a *Agent) authorize(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { crossOrigin().write(w) }))
	next = protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := a.check(r); err != nil {
			problemOf(err).write(w)
			return
		}
		access, err := a.authenticate(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="locked"`)
			problemOf(err).write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessKey{}, access)))
	})
}

func crossOrigin() *problem {
	return newProblem(http.StatusForbidden, "cross-origin", "a page of another origin has sent this request")
}

// check refuses what a page of another origin makes a browser send: a name that leads here by another's DNS, or a request
// across origins.
func (a *Agent) check(r *http.Request) error {
	if !a.knownHost(r.Host) {
		p := newProblem(http.StatusMisdirectedRequest, "unknown-host",
			"the host %q is not one of this agent's: use its address or localhost, or allow the name with --allow-host", r.Host)
		p.Field, p.Value = "Host", r.Host
		return p
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet && r.URL.Path == "/" {
		return nil // a link to the page
	}
	return crossOrigin()
}

// knownHost reports whether a name in a request can only mean this agent: a number, localhost, or a name that was allowed.
func (a *Agent) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return a.unix || host == "localhost" || slices.Contains(a.cfg.AllowHosts, host) // no page leads a browser to a socket
}

// access is what a caller may do: use the elections below one of the prefixes.
type access struct {
	prefixes []string
	holder   holder
}

// holder tells callers apart whose candidacies are counted: by the hash of their token, where one is required.
type holder [sha256.Size]byte

type accessKey struct{}

func accessOf(ctx context.Context) access {
	a, _ := ctx.Value(accessKey{}).(access)
	return a
}

// may reports whether the path is the caller's to use.
func (a access) may(path string) bool {
	return slices.ContainsFunc(a.prefixes, func(p string) bool { return strings.HasPrefix(path, p) })
}

// within refuses a prefix of more than the caller may see. Who asks for everything, and has one prefix, means that.
func (a access) within(prefix string) (string, error) {
	if a.may(prefix) {
		return prefix, nil
	}
	if prefix == "/" && len(a.prefixes) == 1 {
		return a.prefixes[0], nil
	}
	return "", a.forbidden("prefix", prefix)
}

func (a access) forbidden(field, path string) error {
	p := newProblem(http.StatusForbidden, "forbidden", "%s is not among what you may use: %s", path, strings.Join(a.prefixes, ", "))
	p.Field, p.Value, p.Want = field, path, "must begin with "+strings.Join(a.prefixes, " or ")
	return p
}

// open are the pages that need no token.
func isOpen(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/openapi.yaml" || !strings.HasPrefix(path, "/v1/") && path != "/metrics"
}

// authenticate finds out who asks.
func (a *Agent) authenticate(r *http.Request) (access, error) {
	if a.tokens == nil || isOpen(r.URL.Path) {
		return access{prefixes: []string{a.cfg.Prefix}}, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return access{}, newProblem(http.StatusUnauthorized, "no-token", "a token is required: Authorization: Bearer TOKEN")
	}
	known, ok := a.tokens.find(strings.TrimSpace(token))
	if !ok {
		return access{}, newProblem(http.StatusUnauthorized, "wrong-token", "the token is not one of this agent's")
	}
	both := access{holder: known.hash}
	for _, p := range known.prefixes {
		switch {
		case strings.HasPrefix(p, a.cfg.Prefix):
			both.prefixes = append(both.prefixes, p)
		case strings.HasPrefix(a.cfg.Prefix, p):
			both.prefixes = append(both.prefixes, a.cfg.Prefix)
		}
	}
	return both, nil
}
