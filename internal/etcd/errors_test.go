package etcd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/election"
)

// A request that has waited for a connection in vain says why there was none.
func TestNoConnection(t *testing.T) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := New(client, "", 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, proven := c.Agree(ctx, []string{"/p"})
	for request, err := range map[string]error{"txn": c.Commit(t.Context(), election.Txn{Then: election.ReadAll("/p")}).Err, "proof": proven} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v is no deadline that was exceeded", request, err)
		}
		if text := c.Explain("/p", request, err).Error(); !strings.Contains(text, "127.0.0.1:1: connect: connection refused") || strings.Contains(text, "desc =") {
			t.Errorf("%s: %s", request, text)
		}
	}
	if _, err := client.Get(ctx, "x"); unconnected(err) != "" {
		t.Errorf("%v is about a connection", err)
	}
}
