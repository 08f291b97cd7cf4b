package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/samcday/locked/health"
	"github.com/samcday/locked/internal/server/etcdserver"
)

func TestHealth(t *testing.T) {
	e := server(t, etcdserver.Config{})
	n := candidate(t, locker(t, e.Endpoint()), "/a", "n1")
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
	start(t, n)
	got := ask(http.StatusOK)
	if got.RemainingMS <= 0 || got.RemainingMS > 60_000 {
		t.Errorf("remaining %d ms", got.RemainingMS)
	}
	got.RemainingMS = 0
	if want := (health.Status{Path: "/a", ID: "n1", Selected: true, Token: n.Token(), Leader: "n1", Value: "value of n1"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stop(t, n)
	if got := ask(http.StatusServiceUnavailable); got.Selected || got.Token != 0 {
		t.Errorf("after Stop: %+v", got)
	}
}
