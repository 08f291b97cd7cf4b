// Package logqueue hands log records to a handler that may block, such as one that writes to a pipe nobody reads, without ever
// waiting for it: what does not fit is dropped, and counted.
package logqueue

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// size is how many records may wait: a burst, and not what a handler that has stopped is owed.
const size = 256

// Queue is what records wait in.
type Queue struct {
	records chan record
	dropped atomic.Int64
	closing chan struct{}
	once    sync.Once
	ended   chan struct{}
}

type record struct {
	to slog.Handler
	slog.Record
}

// New gives a queue, and a logger whose records pass through it to another one's handler, in a goroutine that Close ends.
func New(log *slog.Logger) (*Queue, *slog.Logger) {
	q := &Queue{records: make(chan record, size), closing: make(chan struct{}), ended: make(chan struct{})}
	go q.run()
	return q, slog.New(&handler{q, log.Handler()})
}

func (q *Queue) run() {
	defer close(q.ended)
	told := int64(0)
	for {
		select {
		case r := <-q.records:
			r.pass()
			told = q.tell(r.to, told)
			continue
		case <-q.closing:
		}
		for { // what was queued before
			select {
			case r := <-q.records:
				r.pass()
			default:
				return
			}
		}
	}
}

func (r record) pass() {
	if ctx := context.Background(); r.to.Enabled(ctx, r.Level) {
		_ = r.to.Handle(ctx, r.Record) // slog ignores it too
	}
}

// tell says how many records are missing, once the handler takes some again.
func (q *Queue) tell(to slog.Handler, told int64) int64 {
	dropped := q.dropped.Load()
	if dropped > told {
		slog.New(to).Warn("log records were dropped: nobody has taken them", "records", dropped-told)
	}
	return dropped
}

// Dropped is how many records were.
func (q *Queue) Dropped() int64 {
	if q == nil {
		return 0
	}
	return q.dropped.Load()
}

// Close ends the queue, and waits until what is in it was handled, or ctx ends. A handler that never returns keeps its goroutine.
func (q *Queue) Close(ctx context.Context) {
	if q == nil {
		return
	}
	q.once.Do(func() { close(q.closing) })
	select {
	case <-q.ended:
	case <-ctx.Done():
	}
}

type handler struct {
	q  *Queue
	to slog.Handler
}

// Enabled does not ask the handler, which may block: it is asked when it gets the record.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.q.records <- record{h.to, r.Clone()}:
	default:
		h.q.dropped.Add(1)
	}
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.q, h.to.WithAttrs(attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.q, h.to.WithGroup(name)} }
