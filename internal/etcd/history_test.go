package etcd

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/samcday/locked/internal/election"
)

func header(cluster uint64, revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: cluster, Revision: revision}
}

// What a quorum has agreed on shows that etcd has gone back, measured by what was known when it was asked; what was asked before
// that says nothing of the etcd after it.
func TestHistory(t *testing.T) {
	var told []Back
	h := &history{tell: func(b Back) { told = append(told, b) }}
	early := h.mark()
	h.agreed(early, header(1, 7))
	h.agreed(early, header(1, 5)) // sent before 7 was known
	if h.hear(h.mark(), header(1, 5)); len(told) != 0 {
		t.Fatalf("a member that lags: %v", told)
	}
	old := h.mark()
	if h.agreed(old, header(1, 6)); len(told) != 1 || told[0] != (Back{From: 7, To: 6}) {
		t.Fatalf("a lower revision: %v", told)
	}
	h.agreed(old, header(1, 9)) // it was answered before, and comes late
	if h.agreed(h.mark(), header(1, 8)); len(told) != 1 {
		t.Fatalf("an answer of the etcd before: %v", told)
	}
	if h.agreed(h.mark(), header(2, 100)); len(told) != 2 || !told[1].Cluster {
		t.Fatalf("another cluster: %v", told)
	}
}

// readOnly is an etcd that refuses every write.
type readOnly struct{ pb.KVClient }

func (readOnly) DeleteRange(context.Context, *pb.DeleteRangeRequest, ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	return nil, rpctypes.ErrGRPCPermissionDenied
}

// Who may not write believes the second doubtful read in a row.
func TestHistoryOfWhoMayNotWrite(t *testing.T) {
	backs := 0
	c := &Conn{rpc: readOnly{}, timeout: time.Second, past: &history{tell: func(Back) { backs++ }}}
	for i, step := range []struct {
		revision int64
		want     int
	}{{7, 0}, {5, 0}, {7, 0}, {5, 0}, {5, 1}, {6, 1}} {
		if c.read(t.Context(), election.TermPrefix("/p"), c.past.mark(), header(1, step.revision)); backs != step.want {
			t.Fatalf("step %d: told %d times, want %d", i, backs, step.want)
		}
	}
}

// A ping is told only of an etcd that has answered promptly twice.
func TestNoPingOfASlowEtcd(t *testing.T) {
	f := &follower{}
	w := &Watch{all: &Watches{}, follower: f, opened: true}
	w.all.beat.revision = 5
	for _, slow := range [][2]bool{{true, false}, {false, true}, {false, false}} {
		w.all.beat.slow, w.all.beat.wasSlow = slow[0], slow[1]
		if w.progressed(5); f.current != (slow == [2]bool{}) {
			t.Errorf("slow now and before: %v, told: %v", slow, f.current)
		}
	}
}

type follower struct {
	Follower
	current bool
}

func (f *follower) Current() { f.current = true }
