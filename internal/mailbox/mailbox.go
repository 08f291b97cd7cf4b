// Package mailbox is a queue to one reader.
package mailbox

import "sync"

// Mailbox is a queue to one reader. Posting never waits, so nobody who posts can be held up by the reader.
type Mailbox[T any] struct {
	mu     sync.Mutex
	queue  []T
	closed bool
	wake   chan struct{}
}

// New gives one that is empty.
func New[T any]() *Mailbox[T] { return &Mailbox[T]{wake: make(chan struct{}, 1)} }

// Wake tells the reader that there may be something to take.
func (m *Mailbox[T]) Wake() <-chan struct{} { return m.wake }

// Post adds something, unless the mailbox is closed.
func (m *Mailbox[T]) Post(v T) {
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

// Close empties the queue for the last time: what is posted from now on is dropped.
func (m *Mailbox[T]) Close() []T {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.Take()
}

// Take empties the queue.
func (m *Mailbox[T]) Take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}
