package elections

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/faultproxy"
)

const patience = time.Minute

// told is a follower that hands everything on.
type told struct {
	resets, changes chan Changes
	failures        chan error
}

func (t told) Reset(_ context.Context, _ int64, all Changes)     { t.resets <- all }
func (t told) Apply(_ context.Context, _ int64, changes Changes) { t.changes <- changes }
func (t told) Reached(context.Context, time.Duration)            {}
func (t told) Failed(_ context.Context, err error)               { t.failures <- err }

func receive[T any](t *testing.T, c <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(patience):
		t.Fatalf("%s was not told", what)
	}
	return got
}

func put(t *testing.T, c *clientv3.Client, names ...string) {
	t.Helper()
	for from := 0; from < len(names); from += 100 {
		var ops []clientv3.Op
		for _, name := range names[from:min(from+100, len(names))] {
			ops = append(ops, clientv3.OpPut(name, election.Join("id", "value")))
		}
		if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// What there is, is read page by page, and then what changes is told; after an outage everything is, with what was missed.
func TestFollow(t *testing.T) {
	server, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	network, err := faultproxy.New(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	dial := func(endpoint string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	direct := dial(server.Endpoint())
	const many = 2*keysPerPage + 1
	var names []string
	for i := range many {
		names = append(names, election.TermPrefix(fmt.Sprintf("/many/%04d", i))+"nonce")
	}
	put(t, direct, append(names, "/many/no election", election.TermPrefix("/other")+"nonce")...)

	s := &Source{Client: dial(network.Addr()), Prefix: "/many/", Limit: time.Second}
	f := told{make(chan Changes), make(chan Changes), make(chan error)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Follow(ctx, f)
	}()
	if all := receive(t, f.resets, "what there is"); len(all) != many {
		t.Errorf("%d elections, want %d", len(all), many)
	}
	put(t, direct, election.TermPrefix("/many/new")+"nonce")
	if got := receive(t, f.changes, "a change"); len(got) != 1 || len(got["/many/new"]) != 1 {
		t.Errorf("told of %v", got)
	}
	network.Cut()
	receive(t, f.failures, "a failure")
	put(t, direct, election.TermPrefix("/many/missed")+"nonce")
	network.Heal()
	for {
		select {
		case <-f.failures: // it had begun before
			continue
		case all := <-f.resets:
			if len(all["/many/missed"]) != 1 || len(all) != many+2 {
				t.Errorf("%d elections after an outage, want %d", len(all), many+2)
			}
		case <-time.After(patience):
			t.Error("nothing was told after an outage")
		}
		break
	}
	cancel()
	<-ended
}
