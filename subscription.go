package locked

import (
	"context"
	"sync"
	"sync/atomic"
)

// subscription carries events to one receiver, which may be slow: the loop never waits for it. Pings and refreshes are
// left out while anything is pending, and when too much is pending the changes of state are merged to the latest.
type subscription struct {
	out     chan Event
	done    context.Context
	node    *Node // whose own events it gets too
	dropped *atomic.Int64
	wake    chan struct{}
	once    atomic.Bool // it was taken up, or refused

	mu       sync.Mutex
	pending  []Event
	selected bool // as told by all but the pending events
}

// backlog is how many events may be pending before they are merged.
const backlog = 64

func newSubscription(ctx context.Context, n *Node, dropped *atomic.Int64) *subscription {
	return &subscription{out: make(chan Event, 8), done: ctx, node: n, dropped: dropped, wake: make(chan struct{}, 1)}
}

// take reports whether the subscription is to be carried out: it is, or is refused, once.
func (s *subscription) take() bool { return s.once.CompareAndSwap(false, true) }

// refuse ends a subscription of a locker that is closed.
func (s *subscription) refuse(cancel context.CancelFunc) {
	if s.take() {
		close(s.out)
		cancel()
	}
}

// push adds an event.
func (s *subscription) push(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (e.Kind == Ping || e.Kind == Refresh) && len(s.pending) > 0 {
		s.dropped.Add(1)
		return
	}
	s.pending = append(s.pending, e)
	if before := len(s.pending); before > backlog {
		s.pending = merge(s.pending, s.selected)
		s.dropped.Add(int64(before - len(s.pending)))
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// merge keeps of many events what the receiver must know: the last error, that a term has ended and why, the state as it
// is now, and whether the node is elected. It keeps select and deselect alternating.
func merge(events []Event, selected bool) []Event {
	var state, failure, ended, began Event
	was := selected
	for _, e := range events {
		switch e.Kind {
		case Change, Vacant:
			state = e
		case Error:
			failure = e
		case Select:
			selected, began = true, e
		case Deselect:
			selected = false
			if was {
				ended = e
			}
		}
	}
	if !selected {
		began = Event{}
	}
	var out []Event
	for _, e := range []Event{failure, ended, state, began} {
		if e.Kind != 0 {
			out = append(out, e)
		}
	}
	return out
}

// run hands the events on until the subscription's context ends, and closes the channel.
func (s *subscription) run() {
	defer close(s.out)
	for {
		e, ok := s.next()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-s.done.Done():
				s.flush()
				return
			}
		}
		select {
		case s.out <- e:
		case <-s.done.Done():
			s.unshift(e)
			s.flush()
			return
		}
	}
}

// next takes the first pending event.
func (s *subscription) next() (e Event, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return Event{}, false
	}
	e, s.pending = s.pending[0], s.pending[1:]
	s.note(e)
	return e, true
}

func (s *subscription) note(e Event) {
	switch e.Kind {
	case Select:
		s.selected = true
	case Deselect:
		s.selected = false
	}
}

func (s *subscription) unshift(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append([]Event{e}, s.pending...)
}

// flush puts what is pending into the channel's buffer, as far as it goes, for a receiver that reads to the end.
func (s *subscription) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.pending {
		select {
		case s.out <- e:
		default:
			return
		}
	}
}
