package locked

import "testing"

// Law 9: a receiver that reads on while its subscription ends gets the events in order, up to the one that found no room.
func TestEndOfSubscription(t *testing.T) {
	t.Parallel()
	for range 100 {
		s := newSubscription(nil, t.Context(), nil)
		for i := range 10000 {
			if e := (Event{Kind: EventChange, Revision: int64(i)}); !s.offer(e) {
				s.pending = append(s.pending, e)
			}
		}
		go s.end()
		next := int64(0)
		for e := range s.out {
			if e.Revision != next {
				t.Fatalf("event %d came after %d", e.Revision, next-1)
			}
			next++
		}
		if next < buffer {
			t.Fatal("only", next, "events came")
		}
	}
}
