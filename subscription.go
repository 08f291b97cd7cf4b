package locked

import (
	"context"
	"slices"
	"sync"
)

// subscription carries events to one receiver, which may be slow: the loop never waits for it. An event goes into the
// channel at once; when that is full, a goroutine hands on what is pending, for as long as anything is. Pings and refreshes
// are left out meanwhile, and when too much is pending the changes of state are merged to the latest.
type subscription struct {
	l    *Locker
	out  chan Event
	ctx  context.Context // ends it, as the locker does
	node *Node           // whose own events it gets too
	st   *electionState  // that it listens to, once it was taken up

	mu       sync.Mutex
	pending  []Event
	draining bool // a goroutine hands them on
	selected bool // as told by all but the pending events
	over     bool
	unwatch  func() bool // forgets about ctx
}

const (
	buffer  = 2  // events that a receiver may be behind before it counts as slow
	backlog = 64 // how many may be pending before they are merged
)

func newSubscription(l *Locker, ctx context.Context, n *Node) *subscription {
	return &subscription{l: l, out: make(chan Event, buffer), ctx: ctx, node: n}
}

// begin makes the end of its context end it.
func (s *subscription) begin(st *electionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st = st
	s.unwatch = context.AfterFunc(s.ctx, s.end)
}

// end closes the channel, after what is pending as far as the receiver's buffer goes.
func (s *subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	if !s.draining { // otherwise that goroutine does it
		s.finish()
	}
}

// finish is the last thing that happens. The lock is held. What comes after an event that does not fit is left out too, even
// if the receiver makes room meanwhile: it would be out of order.
func (s *subscription) finish() {
	for i := 0; i < len(s.pending) && s.offer(s.pending[i]); i++ {
	}
	s.pending = nil
	close(s.out)
	if s.st != nil {
		s.unwatch()
		s.l.post(func() {
			s.st.subs = slices.DeleteFunc(s.st.subs, func(other *subscription) bool { return other == s })
			s.st.release()
		})
	}
}

// push adds an event.
func (s *subscription) push(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
	case !s.draining && s.offer(e):
	case (e.Kind == EventPing || e.Kind == EventRefresh) && len(s.pending) > 0:
		s.l.counters.dropped.Add(1)
	default:
		s.wait(e)
	}
}

// offer puts an event into the channel, if there is room.
func (s *subscription) offer(e Event) bool {
	select {
	case s.out <- e:
		s.note(e)
		return true
	default:
		return false
	}
}

// wait keeps an event until the receiver takes it.
func (s *subscription) wait(e Event) {
	s.pending = append(s.pending, e)
	if before := len(s.pending); before > backlog {
		s.pending = merge(s.pending, s.selected)
		s.l.counters.dropped.Add(int64(before - len(s.pending)))
	}
	if !s.draining {
		s.draining = true
		s.l.spawn(s.drain)
	}
}

// merge keeps of many events what the receiver must know: the last error, that a term has ended and why, the state as it
// is now, and whether the node is elected. It keeps select and deselect alternating.
func merge(events []Event, selected bool) []Event {
	var state, failure, ended, began Event
	was := selected
	for _, e := range events {
		switch e.Kind {
		case EventChange, EventVacant:
			state = e
		case EventError:
			failure = e
		case EventSelect:
			selected, began = true, e
		case EventDeselect:
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

// drain hands on what is pending, until nothing is or the subscription ends.
func (s *subscription) drain() {
	for {
		e, ok := s.next()
		if !ok {
			return
		}
		select {
		case s.out <- e:
		case <-s.ctx.Done():
			s.unshift(e)
		case <-s.l.ctx.Done():
			s.unshift(e)
		}
	}
}

// next takes the first pending event. When there is none, or nobody to take it, draining is over.
func (s *subscription) next() (e Event, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || len(s.pending) == 0 {
		s.draining = false
		if s.over {
			s.finish()
		}
		return Event{}, false
	}
	e, s.pending = s.pending[0], s.pending[1:]
	s.note(e)
	return e, true
}

func (s *subscription) note(e Event) {
	switch e.Kind {
	case EventSelect:
		s.selected = true
	case EventDeselect:
		s.selected = false
	}
}

// unshift takes an event back that nobody has received, and ends the subscription.
func (s *subscription) unshift(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append([]Event{e}, s.pending...)
	s.over = true
}
