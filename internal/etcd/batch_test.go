package etcd

import (
	"fmt"
	"testing"

	"github.com/samcday/locked/internal/election"
)

// What waits to be sent is sent in order for each election, all of it, and nothing shares a request with another one of its
// own election.
func TestNextBatch(t *testing.T) {
	b := &Batches{}
	const elections, each = 70, 5
	sent := map[string]int{}
	for turn := range each {
		for i := range elections {
			path := fmt.Sprint("/", i/(turn+1)) // many are of the same ones
			n := sent[path]
			sent[path]++
			b.queue = append(b.queue, order{path: path, txn: election.Txn{If: make([]election.Cmp, n)}})
		}
	}
	got := map[string]int{}
	for range elections * each {
		if len(b.queue) == 0 {
			break
		}
		inBatch := map[string]bool{}
		for _, o := range b.nextBatch() {
			if inBatch[o.path] {
				t.Fatalf("two of %s share a request", o.path)
			}
			inBatch[o.path] = true
			if len(o.txn.If) != got[o.path] {
				t.Fatalf("%s: number %d is sent when it is the turn of %d", o.path, len(o.txn.If), got[o.path])
			}
			got[o.path]++
		}
	}
	for path, n := range sent {
		if got[path] != n {
			t.Errorf("%s: %d of %d are sent", path, got[path], n)
		}
	}
	if b.queue != nil {
		t.Error("the empty queue keeps its memory")
	}
}
