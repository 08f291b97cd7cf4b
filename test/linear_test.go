package test

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

// addition is one attempt to add one to a counter: by reading a number, and writing the next one.
type addition struct {
	read      int
	call, end time.Duration
	answered  bool // it was done; else nobody knows
}

// additions are all attempts on one counter.
type additions struct {
	mu  sync.Mutex
	all []addition
}

func (l *additions) add(a addition) {
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

// linearizable reports whether additions that were done one at a time can have given all answers. Written are the numbers
// that etcd ever held: what nobody answered was done if it is among them and nobody else was told to have done it.
func (l *additions) linearizable(written []int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := map[int]bool{}
	var ops []porcupine.Operation
	for _, a := range l.all {
		if a.answered {
			done[a.read+1] = true
			ops = append(ops, porcupine.Operation{Input: a.read, Call: int64(a.call), Return: int64(a.end)})
		}
	}
	for _, a := range l.all {
		if !a.answered && !done[a.read+1] && slices.Contains(written, a.read+1) {
			done[a.read+1] = true
			ops = append(ops, porcupine.Operation{Input: a.read, Call: int64(a.call), Return: math.MaxInt64})
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

// isLock reports whether beliefs can be those of the holders of a lock whose tokens grow. Each was gained and lost at an
// instant.
func isLock(beliefs []leaderBelief) bool {
	tokens := map[int64]int{}
	for _, b := range beliefs {
		tokens[b.token] = 0
	}
	for i, token := range slices.Sorted(maps.Keys(tokens)) {
		tokens[token] = i + 1
	}
	var ops []porcupine.Operation
	for _, b := range beliefs {
		h := lockState{b.who, tokens[b.token]}
		ops = append(ops, porcupine.Operation{Input: lockStep{lockState: h}, Call: int64(b.from), Return: int64(b.from)},
			porcupine.Operation{Input: lockStep{h, true}, Call: int64(b.to), Return: int64(b.to)})
	}
	return porcupine.CheckOperations(lockModel, ops)
}
