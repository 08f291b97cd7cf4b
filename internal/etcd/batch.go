package etcd

import "github.com/samcday/locked/internal/election"

// Transactions of many elections travel together when there are many: who stops ten thousand candidates, or moves
// them to a new lease, would otherwise wait for ten thousand commits. A few requests are under way at a time, and what has
// queued up meanwhile shares the next ones, as transactions nested in one. A lone transaction travels alone, at once.

const (
	requestsUnderWay = 16
	batchTxns        = 48        // etcd allows 128 operations at each level of a transaction
	batchBytes       = 256 << 10 // of the 1.5 MiB that etcd allows
)

// Batches send transactions of many elections.
type Batches struct {
	conn     *Conn
	host     Host
	queue    []transaction
	underWay int
	batches  chan batch    // for senders that wait
	spare    chan struct{} // holds one for each of them
}

// batch is what travels together, and what was known of etcd when it was sent.
type batch struct {
	txns []transaction
	sent mark
}

// transaction is one of an election, and what to do with its result.
type transaction struct {
	path string
	txn  election.Txn
	done func(Result)
}

const spareSenders = 2

// NewBatches gives those of a host.
func NewBatches(c *Conn, h Host) *Batches {
	return &Batches{conn: c, host: h, batches: make(chan batch), spare: make(chan struct{}, spareSenders)}
}

// Submit sends a transaction of the election at a path, alone or with others, and posts its result.
func (b *Batches) Submit(path string, txn election.Txn, done func(Result)) {
	b.queue = append(b.queue, transaction{path, txn, done})
	b.dispatch()
}

// dispatch sends what has queued up, as far as it may.
func (b *Batches) dispatch() {
	for len(b.queue) > 0 && b.underWay < requestsUnderWay {
		next := batch{b.nextBatch(), b.conn.past.mark()}
		b.underWay++
		select {
		case b.batches <- next: // to a sender that waits
		default:
			b.host.Spawn(func() { b.sender(next) })
		}
	}
}

// sender sends batches. A few senders wait for more when they are done: a new goroutine would have to grow its stack
// several times on the way down through gRPC, which costs a handover some percent of its time.
func (b *Batches) sender(next batch) {
	for {
		txns := make([]election.Txn, len(next.txns))
		for i, o := range next.txns {
			txns[i] = o.txn
		}
		b.deliver(next, b.conn.CommitAll(b.host.Context, txns))
		select {
		case b.spare <- struct{}{}:
		default:
			return // enough of them wait
		}
		select {
		case next = <-b.batches:
			<-b.spare
		case <-b.host.Context.Done():
			return
		}
	}
}

// deliver posts the results of a batch to those who asked for them. What was sent to an etcd that has gone back since may have been
// done before that, and may not.
func (b *Batches) deliver(done batch, results []Result) {
	b.host.Post(func() {
		b.underWay--
		if b.conn.past.isOver(done.sent) {
			for i := range results {
				results[i] = Result{Err: ErrBack}
			}
		}
		for i, o := range done.txns {
			o.done(results[i])
		}
		b.dispatch()
	})
}

// nextBatch takes transactions of different elections from the queue: no more than are needed to spread it over the
// requests that may be sent now. Two of one election must not share a request: their compares would not see each other.
func (b *Batches) nextBatch() []transaction {
	free := requestsUnderWay - b.underWay
	share := min(batchTxns, (len(b.queue)+free-1)/free)
	paths, size, taken := map[string]bool{}, 0, 0
	var batch, behind []transaction
	for _, o := range b.queue {
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
	copy(b.queue[first:], behind)
	clear(b.queue[:first]) // what was sent would otherwise be kept as long as anything waits behind it
	if b.queue = b.queue[first:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return batch
}
