package page_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/samcday/locked/cmd/internal/agent/page"
)

// fake speaks as an agent does, and says what the test wants it to: what takes long, or cannot be made to happen, with a
// real one.
type fake struct {
	*httptest.Server
	mu        sync.Mutex
	elections map[string]*election
	etcd      map[string]any
	listeners map[chan string]struct{}
	gone      bool
	silent    bool
	token     string
	asked     chan string // transfers: the path and the body
}

// election is one as an agent tells of it.
type election struct {
	Path     string    `json:"path"`
	Leader   *member   `json:"leader"`
	Since    time.Time `json:"since,omitzero"`
	GapMS    *float64  `json:"gap_ms,omitempty"`
	UnseenMS *float64  `json:"unseen_ms,omitempty"`
	Terms    int       `json:"terms"`
	Queue    []member  `json:"queue"`
	Waiting  int       `json:"waiting"`
	Revision int64     `json:"revision"`
}

type member struct {
	ID        string `json:"id"`
	Value     string `json:"value"`
	Base64    string `json:"value_base64,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	Token     int64  `json:"token,omitempty"`
	Revision  int64  `json:"revision"`
}

func newFake(t testing.TB) *fake {
	f := &fake{elections: map[string]*election{}, listeners: map[chan string]struct{}{}, asked: make(chan string, 10), etcd: map[string]any{
		"reachable": true, "since": time.Now().Add(-time.Hour), "revision": 4711, "latency_ms": 0.42,
	}}
	mux := http.NewServeMux()
	for _, pattern := range page.Patterns {
		mux.Handle("GET "+pattern, page.Handler())
	}
	mux.HandleFunc("GET /v1/events", f.events)
	mux.HandleFunc("GET /v1/elections/{path}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		whole := *f.elections[r.PathValue("path")].Leader
		whole.Value += ", and the rest"
		_ = json.NewEncoder(w).Encode(whole)
	})
	mux.HandleFunc("POST /v1/elections/{path}/transfer", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.asked <- r.PathValue("path") + " " + string(body)
		problem(w, http.StatusConflict, "another transfer was asked for and is not done yet")
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.lose()
		f.Close()
	})
	return f
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:locked:fake","title":"","status":%d,"detail":%q}`, status, detail)
}

func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.gone {
		f.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		f.mu.Unlock()
		problem(w, http.StatusUnauthorized, "the token is not one of this agent's")
		return
	}
	told := make(chan string, 10_000)
	f.listeners[told] = struct{}{}
	told <- event("reset", map[string]any{"revision": 1})
	for _, path := range slices.Sorted(maps.Keys(f.elections)) {
		told <- event("election", f.elections[path])
	}
	told <- event("synced", map[string]any{"revision": 1})
	f.mu.Unlock()

	w.Header().Set("Content-Type", "text/event-stream")
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		f.mu.Lock()
		text, silent := f.heartbeat(), f.silent
		f.mu.Unlock()
		if !silent {
			fmt.Fprint(w, drain(told)+text)
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case s, ok := <-told:
			if !ok {
				return
			}
			fmt.Fprint(w, s)
		case <-beat.C:
		case <-r.Context().Done():
			return
		}
	}
}

// drain takes what is there without waiting.
func drain(told chan string) string {
	var b strings.Builder
	for len(told) > 0 {
		b.WriteString(<-told)
	}
	return b.String()
}

func event(name string, data any) string {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return "event: " + name + "\ndata: " + string(b) + "\n\n"
}

func (f *fake) heartbeat() string {
	at := maps.Clone(f.etcd)
	at["at"] = time.Now()
	return event("etcd", at)
}

// put tells how elections are.
func (f *fake) put(elections ...*election) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range elections {
		if e.Queue == nil {
			e.Queue = []member{}
		}
		e.Waiting = max(e.Waiting, len(e.Queue))
		f.elections[e.Path] = e
		for told := range f.listeners {
			told <- event("election", e)
		}
	}
}

// reach tells whether etcd can be reached.
func (f *fake) reach(ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.etcd["reachable"], f.etcd["since"] = ok, time.Now()
	delete(f.etcd, "error")
	if !ok {
		f.etcd["error"] = "connection refused"
	}
	for told := range f.listeners {
		told <- f.heartbeat()
	}
}

// lose makes the agent go, until it comes back.
func (f *fake) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	for told := range f.listeners {
		close(told)
		delete(f.listeners, told)
	}
}

func (f *fake) comeBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = false
}
