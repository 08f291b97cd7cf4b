package agent

import (
	_ "embed"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/samcday/locked/cmd/internal/agent/page"
	"github.com/samcday/locked/internal/etcd"
)

// OpenAPI describes the API. The tests check every request and answer of the handlers against it.
//
//go:embed openapi.yaml
var OpenAPI []byte

type handler func(http.ResponseWriter, *http.Request) error

// route is one method of one resource.
type route struct {
	method, pattern string
	handle          handler
}

func (a *Agent) table() []route {
	const election = "/v1/elections/{path}"
	return []route{
		{"GET", "/healthz", a.healthz},
		{"GET", "/readyz", a.readyz},
		{"GET", "/metrics", a.metrics()},
		{"GET", "/openapi.yaml", serveOpenAPI},
		{"GET", "/v1/events", a.everything},
		{"GET", "/v1/elections", a.listElections},
		{"GET", election, a.getElection},
		{"GET", election + "/candidates", a.getCandidates},
		{"GET", election + "/events", a.observe},
		{"GET", election + "/leader", a.getLeader},
		{"POST", election + "/campaign", a.campaign},
		{"GET", election + "/campaign", a.getCampaign},
		{"DELETE", election + "/campaign", a.deleteCampaign},
		{"POST", election + "/value", a.setValue},
		{"POST", election + "/release", a.release},
		{"POST", election + "/transfer", a.transfer},
	}
}

func (a *Agent) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, rt := range a.table() {
		mux.Handle(rt.method+" "+rt.pattern, permitted(rt.handle))
		methods[rt.pattern] = append(methods[rt.pattern], rt.method)
	}
	site := page.Handler()
	for _, pattern := range page.Patterns {
		mux.Handle("GET "+pattern, site)
		methods[pattern] = []string{"GET"}
	}
	for pattern, allowed := range methods {
		if slices.Contains(allowed, "GET") {
			allowed = append(allowed, "HEAD")
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			newProblem(http.StatusMethodNotAllowed, "method", "%s is not for this resource: there is %s",
				r.Method, strings.Join(allowed, ", ")).write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		newProblem(http.StatusNotFound, "no-resource",
			"there is no %s: see /openapi.yaml; slashes within the path of an election are written %%2F", r.URL.EscapedPath()).write(w)
	})
	return a.authorize(exactly(mux))
}

// exactly refuses a path with empty segments or dots, to which [http.ServeMux] answers with another place: with every %2F
// escaped once more, which is another election.
func exactly(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.EscapedPath()
		if clean := path.Clean(escaped); escaped != "" && clean != escaped && clean != strings.TrimSuffix(escaped, "/") {
			newProblem(http.StatusNotFound, "no-resource", "there is no %s: a path has no //, and no . or .. as a segment", escaped).write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// permitted lets a handler answer if the election is the caller's to use, and tells what goes wrong as a problem.
func permitted(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := error(nil)
		if path := r.PathValue("path"); path != "" && !accessOf(r.Context()).may(withSlash(path)) {
			err = accessOf(r.Context()).forbidden("path", withSlash(path))
		}
		if err == nil {
			err = h(w, r)
		}
		if err != nil && r.Context().Err() == nil {
			problemOf(err).write(w)
		}
	})
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(OpenAPI) // whoever asked may have gone
	return nil
}

// healthz answers as long as the process does.
func (a *Agent) healthz(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, r, http.StatusOK, map[string]string{"status": "alive"})
}

// readyz answers 200 if etcd does, and campaigns are taken.
func (a *Agent) readyz(w http.ResponseWriter, r *http.Request) error {
	if a.drains.Load() {
		return draining()
	}
	switch _, err := a.cache.source.Ping(r.Context()); {
	case etcd.IsRefusal(err):
		return newProblem(http.StatusServiceUnavailable, "etcd-refused", "etcd refuses: %v", err)
	case err != nil:
		return newProblem(http.StatusServiceUnavailable, "etcd-unreachable", "etcd does not answer: %v", err)
	}
	return writeJSON(w, r, http.StatusOK, map[string]string{"status": "ready"})
}

func (a *Agent) metrics() handler {
	h := promhttp.HandlerFor(a.collectors(), promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}
