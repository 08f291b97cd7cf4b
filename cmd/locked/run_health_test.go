package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
)

func TestServeHealth(t *testing.T) {
	etcd, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	l, err := locked.New(etcd.Endpoint(), locked.WithRequestTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	node, err := l.Node("/health", locked.NodeConfig{ID: "a", Value: "1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s, err := serveHealth("127.0.0.1:0", l, node)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	expect := func(path string, code int, text string) {
		t.Helper()
		resp, err := http.Get("http://" + s.Addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != code || !strings.Contains(string(body), text) {
			t.Errorf("%s: %s, %v, want %d with %q:\n%s", path, resp.Status, err, code, text, body)
		}
	}
	expect("/leader", 503, `"selected":false`)
	expect("/healthz", 200, "ok")
	if err := node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("/leader", 200, `"id":"a","selected":true`)
	expect("/metrics", 200, `locked_selected{id="a",path="/health"} 1`)
	expect("/", 404, "")
}
