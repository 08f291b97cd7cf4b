package sim

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// What was done in a simulation is handed to Porcupine, which looks for an order in which all of it makes sense: for a
// counter that leaders add to, and for an election seen as a lock.

// Addition is one attempt to add one to a counter: by reading a number, and writing the next one.
type Addition struct {
	Read      int
	Call, End time.Duration
	Answered  bool // it was done; else nobody knows
}

// Additions are all attempts on one counter.
type Additions struct {
	mu  sync.Mutex
	all []Addition
}

// Add notes one.
func (l *Additions) Add(a Addition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

var counterModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		n, read := state.(int), input.(int)
		return n == read, n + 1
	},
}

// Linearizable reports whether additions that were done one at a time can have given all answers. Written are the numbers
// that etcd ever held: what nobody answered was done if it is among them and nobody else was told to have done it.
func (l *Additions) Linearizable(written []int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := map[int]bool{}
	var ops []porcupine.Operation
	for _, a := range l.all {
		if a.Answered {
			done[a.Read+1] = true
			ops = append(ops, porcupine.Operation{Input: a.Read, Call: int64(a.Call), Return: int64(a.End)})
		}
	}
	for _, a := range l.all {
		if !a.Answered && !done[a.Read+1] && slices.Contains(written, a.Read+1) {
			done[a.Read+1] = true
			ops = append(ops, porcupine.Operation{Input: a.Read, Call: int64(a.Call), Return: math.MaxInt64})
		}
	}
	return porcupine.CheckOperations(counterModel, ops)
}

// lockState is an election seen as a lock: who holds it, and the turn of whoever held it last.
type lockState struct {
	who  string
	turn int
}

type lockStep struct {
	lockState
	release bool
}

// lockModel lets turns follow one another, one at a time. To name the turn, and not only to want larger tokens, leaves the
// search one step to try, however much happens in one instant of simulated time.
var lockModel = porcupine.Model{
	Init: func() any { return lockState{} },
	Step: func(state, input, _ any) (bool, any) {
		now, op := state.(lockState), input.(lockStep)
		if op.release {
			return now == op.lockState, lockState{turn: now.turn}
		}
		return now.who == "" && op.turn == now.turn+1, op.lockState
	},
}

// IsLock reports whether beliefs can be those of the holders of a lock whose tokens grow. Each was gained and lost at an
// instant.
func IsLock(beliefs []Belief) bool {
	tokens := map[int64]int{}
	for _, b := range beliefs {
		tokens[b.Token] = 0
	}
	for i, token := range slices.Sorted(maps.Keys(tokens)) {
		tokens[token] = i + 1
	}
	var ops []porcupine.Operation
	for _, b := range beliefs {
		h := lockState{b.Who, tokens[b.Token]}
		ops = append(ops, porcupine.Operation{Input: lockStep{lockState: h}, Call: int64(b.From), Return: int64(b.From)},
			porcupine.Operation{Input: lockStep{h, true}, Call: int64(b.To), Return: int64(b.To)})
	}
	return porcupine.CheckOperations(lockModel, ops)
}
