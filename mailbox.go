package locked

import "sync"

// mailbox is a queue to one reader. Posting never waits, so nobody who posts can be held up by the reader.
type mailbox[T any] struct {
	mu     sync.Mutex
	queue  []T
	closed bool
	wake   chan struct{} // there may be something to take
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{wake: make(chan struct{}, 1)} }

func (m *mailbox[T]) post(v T) {
	m.mu.Lock()
	if !m.closed {
		m.queue = append(m.queue, v)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// close empties the queue for the last time: what is posted from now on is dropped.
func (m *mailbox[T]) close() []T {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.take()
}

// take empties the queue.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}
