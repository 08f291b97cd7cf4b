package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/samcday/locked/internal/clock"
)

// entry is one line of a candidate's journal: one of its fields is set.
type entry struct {
	Began *Belief `json:"began,omitempty"` // a term is believed in
	Ended *Belief `json:"ended,omitempty"` // it is not any more
	Cause *Belief `json:"cause,omitempty"` // the code that leads was told why its term is over
	Write *Write  `json:"write,omitempty"`
}

// journal is where a candidate writes down what happens to it. What was written stays when it is killed.
type journal struct {
	mu   sync.Mutex
	file *os.File
	*board
}

// A board is memory that a candidate shares with the process that runs it: when it was last alive, and for each election
// in which term it last believed to lead, and when. One word each, so that a kill cannot leave half of it.
type board struct {
	words []int64
	bytes []byte
}

const (
	wordAlive = iota // reading of the clock
	wordReady        // 1 when it competes everywhere
	wordWrites
	wordRefused
	wordElections // three for each: token, and of the last belief Last and Until
	wordsForEach  = 3
)

func openJournal(name string) (*journal, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &journal{file: f}, err
}

// add panics when the journal cannot be written: a run without it is worth nothing.
func (j *journal) add(e entry) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func openBoard(name string, elections int) (*board, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := (wordElections + wordsForEach*elections) * 8
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	bytes, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &board{words: unsafe.Slice((*int64)(unsafe.Pointer(&bytes[0])), size/8), bytes: bytes}, nil
}

func (b *board) close() error { return unix.Munmap(b.bytes) }

func (b *board) get(word int) int64        { return atomic.LoadInt64(&b.words[word]) }
func (b *board) set(word int, value int64) { atomic.StoreInt64(&b.words[word], value) }
func (b *board) add1(word int)             { atomic.AddInt64(&b.words[word], 1) }

// belief is what was last believed of an election.
func (b *board) belief(election int) (token int64, last, until time.Duration) {
	w := wordElections + wordsForEach*election
	return b.get(w), time.Duration(b.get(w + 1)), time.Duration(b.get(w + 2))
}

func (b *board) believe(election int, belief *Belief) {
	w := wordElections + wordsForEach*election
	if b.get(w) != belief.Token {
		b.set(w, 0)
	}
	b.set(w+1, int64(belief.Last))
	b.set(w+2, int64(belief.Until))
	b.set(w, belief.Token)
}

// disbelieve notes that nothing is believed.
func (b *board) disbelieve(election int) { b.set(wordElections+wordsForEach*election, 0) }

// believes gives the term that is believed in, if that was so a moment ago.
func (b *board) believes(election int, within time.Duration) int64 {
	token, last, _ := b.belief(election)
	if clock.Uptime()-last > within {
		return 0
	}
	return token
}
