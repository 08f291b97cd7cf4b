package test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked/internal/server/faultproxy"
)

// gate stands between a client and etcd. It counts the transactions that write, and can hold one back.
type gate struct {
	mu     sync.Mutex
	writes int
	rules  []*rule
}

// rule is what becomes of the next transaction that matches.
type rule struct {
	match    func(*pb.TxnRequest) bool
	off      atomic.Bool
	once     sync.Once
	arrived  chan struct{} // closed when it was held back
	lose     bool          // its sender gets an error at once
	all      bool          // so do those of later ones, until it is released
	released chan struct{} // closed when it may go on
	done     chan error    // of a lost one: what became of it
}

// dialGate gives a client behind a gate.
func dialGate(t testing.TB, e *etcdServer) (*clientv3.Client, *gate) {
	g := &gate{}
	return dial(t, clientv3.Config{
		Endpoints:   []string{e.Endpoint()},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(g.intercept)},
	}), g
}

// delay holds the next transaction that matches until it is released.
func (g *gate) delay(match func(*pb.TxnRequest) bool) *rule { return g.add(match, false) }

// lose holds the next transaction that matches until it is released, while its sender is told at once that the connection
// broke. The repetitions of loseAll are lost for good.
func (g *gate) lose(match func(*pb.TxnRequest) bool) *rule { return g.add(match, true) }

func (g *gate) loseAll(match func(*pb.TxnRequest) bool) *rule {
	r := g.add(match, true)
	r.all = true
	return r
}

func (g *gate) add(match func(*pb.TxnRequest) bool, lose bool) *rule {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &rule{match: match, lose: lose, arrived: make(chan struct{}), released: make(chan struct{}), done: make(chan error, 1)}
	g.rules = append(g.rules, r)
	return r
}

// await waits until the transaction is held back.
func (r *rule) await(t testing.TB) {
	t.Helper()
	select {
	case <-r.arrived:
	case <-time.After(soon):
		t.Fatal("no such transaction was sent")
	}
}

// release lets it go on. It returns when one that was lost has been answered.
func (r *rule) release(t testing.TB) {
	t.Helper()
	if !r.lose {
		r.off.Store(true)
		close(r.released)
	} else if err := r.commit(); err != nil {
		t.Fatal("the lost transaction:", err)
	}
}

// commit releases one that was lost, and gives what became of it.
func (r *rule) commit() error {
	r.off.Store(true)
	close(r.released)
	return rpctypes.Error(<-r.done)
}

func (g *gate) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	txn, ok := req.(*pb.TxnRequest)
	if !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	r := g.pick(txn)
	if r == nil {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	if !r.lose {
		close(r.arrived)
		<-r.released
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	r.once.Do(func() {
		close(r.arrived)
		go func() {
			<-r.released
			r.done <- invoke(context.Background(), method, req, new(pb.TxnResponse), cc)
		}()
	})
	return status.Error(codes.Unavailable, "the connection broke")
}

func (g *gate) pick(txn *pb.TxnRequest) *rule {
	g.mu.Lock()
	defer g.mu.Unlock()
	if writes(txn) {
		g.writes++
	}
	for i, r := range g.rules {
		if r.off.Load() || !r.match(txn) {
			continue
		}
		if !r.all {
			g.rules = append(g.rules[:i:i], g.rules[i+1:]...)
		}
		return r
	}
	return nil
}

// written tells how many transactions that may write were sent.
func (g *gate) written() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

func writes(txn *pb.TxnRequest) bool {
	for _, op := range append(txn.Success[:len(txn.Success):len(txn.Success)], txn.Failure...) {
		if op.GetRequestPut() != nil || op.GetRequestDeleteRange() != nil || op.GetRequestTxn() != nil && writes(op.GetRequestTxn()) {
			return true
		}
	}
	return false
}

// puts matches a transaction that, when its compares hold, puts a key with the prefix.
func puts(prefix string) func(*pb.TxnRequest) bool {
	return func(txn *pb.TxnRequest) bool {
		for _, op := range txn.Success {
			if p := op.GetRequestPut(); p != nil && hasPrefix(p.Key, prefix) {
				return true
			}
		}
		return false
	}
}

// deletes matches a transaction that, when its compares hold, deletes a key with the prefix and puts none.
func deletes(prefix string) func(*pb.TxnRequest) bool {
	return func(txn *pb.TxnRequest) bool {
		found := false
		for _, op := range txn.Success {
			if op.GetRequestPut() != nil {
				return false
			}
			d := op.GetRequestDeleteRange()
			found = found || d != nil && hasPrefix(d.Key, prefix)
		}
		return found
	}
}

func hasPrefix(key []byte, prefix string) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix
}

// wire is a TCP connection to etcd that can be cut, so that it breaks and nobody can connect, and healed.
type wire struct{ *faultproxy.Proxy }

// newWire gives a wire to a server that ends with the test.
func newWire(t testing.TB, e *etcdServer) wire {
	t.Helper()
	p, err := faultproxy.New(e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return wire{p}
}

func (w wire) endpoint() string { return w.Addr() }
func (w wire) cut()             { w.Cut() }
func (w wire) heal()            { w.Heal() }
