package locked

import (
	"context"
	"math"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/samcday/locked/internal/election"
)

// Transactions of many elections travel together when there are many: a locker that stops ten thousand nodes, or moves
// them to a new lease, would otherwise wait for ten thousand commits. A few requests are under way at a time, and what has
// queued up meanwhile shares the next ones, as transactions nested in one. A lone transaction travels alone, at once.

const (
	requestsUnderWay = 16
	batchTxns        = 48        // etcd allows 128 operations at each level of a transaction
	batchBytes       = 256 << 10 // of the 1.5 MiB that etcd allows
)

// order is a transaction of one election, and what to do with its result.
type order struct {
	path string
	txn  election.Txn
	done func(result)
}

// result is what came of a transaction.
type result struct {
	succeeded bool
	revision  int64
	seen      *snapshot // of the branch that was taken, nil if nothing was read there
	err       error
}

// orders are the transactions of a locker. They belong to the loop.
type orders struct {
	queue    []order
	underWay int
	batches  chan []order  // for senders that wait
	spare    chan struct{} // holds one for each of them
}

const spareSenders = 2

func newOrders() orders {
	return orders{batches: make(chan []order), spare: make(chan struct{}, spareSenders)}
}

// submit sends a transaction, alone or with others, and does done with its result in the loop.
func (l *Locker) submit(path string, txn election.Txn, done func(result)) {
	l.orders.queue = append(l.orders.queue, order{path, txn, done})
	l.dispatch()
}

// dispatch sends what has queued up, as far as it may.
func (l *Locker) dispatch() {
	for len(l.orders.queue) > 0 && l.orders.underWay < requestsUnderWay {
		batch := l.nextBatch()
		l.orders.underWay++
		select {
		case l.orders.batches <- batch: // to a sender that waits
		default:
			l.spawn(func() { l.sender(batch) })
		}
	}
}

// sender sends batches. A few senders wait for more when they are done: a new goroutine would have to grow its stack
// several times on the way down through gRPC, which costs a handover some percent of its time.
func (l *Locker) sender(batch []order) {
	for {
		l.deliver(batch, l.commitAll(l.ctx, batch))
		select {
		case l.orders.spare <- struct{}{}:
		default:
			return // enough of them wait
		}
		select {
		case batch = <-l.orders.batches:
			<-l.orders.spare
		case <-l.ctx.Done():
			return
		}
	}
}

// deliver hands the results of a batch to those who ordered it, in the loop.
func (l *Locker) deliver(batch []order, results []result) {
	l.post(func() {
		l.orders.underWay--
		for i, o := range batch {
			o.done(results[i])
		}
		l.dispatch()
	})
}

// nextBatch takes transactions of different elections from the queue: no more than are needed to spread it over the
// requests that may be sent now. Two of one election must not share a request: their compares would not see each other.
func (l *Locker) nextBatch() []order {
	free := requestsUnderWay - l.orders.underWay
	share := min(batchTxns, (len(l.orders.queue)+free-1)/free)
	paths, size, taken := map[string]bool{}, 0, 0
	var batch, behind []order
	for _, o := range l.orders.queue {
		if len(batch) == share || size > batchBytes {
			break
		}
		taken++
		if paths[o.path] {
			behind = append(behind, o)
			continue
		}
		paths[o.path] = true
		size += o.txn.Size()
		batch = append(batch, o)
	}
	first := taken - len(behind)
	copy(l.orders.queue[first:], behind)
	clear(l.orders.queue[:first]) // what was sent would otherwise be kept as long as anything waits behind it
	if l.orders.queue = l.orders.queue[first:]; len(l.orders.queue) == 0 {
		l.orders.queue = nil
	}
	return batch
}

// commitAll commits transactions in one request. If etcd refuses that, each is tried on its own, so that none suffers from
// another's missing permission.
func (l *Locker) commitAll(ctx context.Context, batch []order) []result {
	if len(batch) == 1 {
		return []result{l.commit(ctx, batch[0].txn)}
	}
	all := &etcdserverpb.TxnRequest{}
	for _, o := range batch {
		all.Success = append(all.Success, nested(l.request(o.txn)))
	}
	resp, err := l.send(ctx, all)
	results := make([]result, len(batch))
	for i, o := range batch {
		switch {
		case err == nil:
			results[i] = l.resultOf(resp.Header.Revision, resp.Responses[i].GetResponseTxn())
		case outcome(err) == election.Denied || gone(err):
			results[i] = l.commit(ctx, o.txn)
		default:
			results[i] = result{err: err}
		}
	}
	return results
}

// commit commits one transaction.
func (l *Locker) commit(ctx context.Context, txn election.Txn) result {
	resp, err := l.send(ctx, l.request(txn))
	if err != nil {
		return result{err: err}
	}
	return l.resultOf(resp.Header.Revision, resp)
}

// send sends one request, within the request timeout. Like etcd's own client it waits for a connection, and gives the error
// of the context when that ends.
func (l *Locker) send(ctx context.Context, t *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), l.timeout)
	defer cancel()
	resp, err := l.kv.Txn(ctx, t, anySize, grpc.WaitForReady(true))
	return resp, clientv3.ContextError(ctx, err)
}

// anySize lets etcd answer with as much as it has: gRPC's own limit is 4 MiB.
var anySize = grpc.MaxCallRecvMsgSize(math.MaxInt32)

func (l *Locker) resultOf(revision int64, resp *etcdserverpb.TxnResponse) result {
	return result{succeeded: resp.Succeeded, revision: revision, seen: l.read(revision, resp.Responses)}
}
