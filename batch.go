package locked

import (
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
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
	done func(etcd.Result)
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
func (l *Locker) submit(path string, txn election.Txn, done func(etcd.Result)) {
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
		txns := make([]election.Txn, len(batch))
		for i, o := range batch {
			txns[i] = o.txn
		}
		l.deliver(batch, l.etcd.CommitAll(l.ctx, txns))
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
func (l *Locker) deliver(batch []order, results []etcd.Result) {
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
