package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/health"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
)

func TestHealth(t *testing.T) {
	s, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := locked.New(s.Endpoint(), locked.WithRequestTimeout(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	n, err := l.Node("/a", locked.NodeConfig{ID: "n1", Value: "10", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(code int) (got health.Status) {
		t.Helper()
		w := httptest.NewRecorder()
		health.Leader(n).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/leader", nil))
		if w.Code != code {
			t.Errorf("code %d, want %d", w.Code, code)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s: %v", w.Body, err)
		}
		return got
	}
	ask(http.StatusServiceUnavailable)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := ask(http.StatusOK)
	if got.RemainingMS <= 0 || got.RemainingMS > 60_000 {
		t.Errorf("remaining %d ms", got.RemainingMS)
	}
	got.RemainingMS = 0
	if want := (health.Status{Path: "/a", ID: "n1", Selected: true, Token: n.Token(), Leader: "n1", Value: "10"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(http.StatusServiceUnavailable); got.Selected || got.Token != 0 {
		t.Errorf("after Stop: %+v", got)
	}
}
