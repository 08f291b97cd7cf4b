package mailbox

import (
	"slices"
	"sync"
	"testing"
)

// What is posted is taken in its order, and once.
func TestOrder(t *testing.T) {
	m := New[int]()
	for i := range 3 {
		m.Post(i)
	}
	if got := m.Take(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Error("took", got)
	}
	m.Post(3)
	if got := m.Take(); !slices.Equal(got, []int{3}) {
		t.Error("then", got)
	}
	if got := m.Take(); len(got) != 0 {
		t.Error("took twice:", got)
	}
}

// However much is posted before the reader looks, it is woken once; what comes after that wakes it again.
func TestWake(t *testing.T) {
	m := New[int]()
	woken := func() bool {
		select {
		case <-m.Wake():
			return true
		default:
			return false
		}
	}
	if woken() {
		t.Error("woken for nothing")
	}
	for range 2 {
		m.Post(1)
		m.Post(2)
		if !woken() || woken() {
			t.Error("not woken once")
		}
	}
}

// Close gives what was not taken yet, and what is posted after it is dropped.
func TestClose(t *testing.T) {
	m := New[int]()
	m.Post(1)
	m.Post(2)
	if got := m.Close(); !slices.Equal(got, []int{1, 2}) {
		t.Error("left:", got)
	}
	m.Post(3)
	if got := m.Take(); len(got) != 0 {
		t.Error("posted after the end:", got)
	}
}

// Many may post at a time, to a reader that sleeps until it is woken: nothing is lost, and what one has posted stays in its order.
func TestManyPost(t *testing.T) {
	const posters, each = 8, 1000
	type post struct{ who, number int }
	m := New[post]()
	var posting sync.WaitGroup
	for who := range posters {
		posting.Add(1)
		go func() {
			defer posting.Done()
			for number := range each {
				m.Post(post{who, number})
			}
		}()
	}
	var next [posters]int
	for taken := 0; taken < posters*each; {
		<-m.Wake()
		for _, p := range m.Take() {
			if p.number != next[p.who] {
				t.Fatalf("%d of %d, want %d", p.number, p.who, next[p.who])
			}
			next[p.who]++
			taken++
		}
	}
	posting.Wait()
}
