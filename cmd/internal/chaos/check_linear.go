package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLinearizable has Porcupine look for an order in which all that was done to the registers, and to the elections
// seen as locks, makes sense.
func checkLinearizable(h *History) (found []Violation) {
	committed := h.registers()
	for e := range h.Elections {
		for what, ops := range map[string]func() porcupine.CheckResult{
			"the fenced register": func() porcupine.CheckResult {
				return porcupine.CheckOperationsTimeout(registerModel, h.registerOperations(e, committed[e]), checkingLimit)
			},
			"the election, as a lock,": func() porcupine.CheckResult {
				return porcupine.CheckOperationsTimeout(lockModel, h.lockOperations(e), checkingLimit)
			},
		} {
			switch ops() {
			case porcupine.Illegal:
				found = append(found, Violation{Promise: linearizable, Election: e, Text: what + " is not linearizable"})
			case porcupine.Unknown:
				found = append(found, Violation{Promise: unchecked, Election: e, Text: fmt.Sprintf("%s could not be checked within %v", what, checkingLimit)})
			}
		}
	}
	return found
}

// A fenced register holds a value and the token that it was written with. A write with an older token than that is
// refused; so is, by the fence, one of a term that has ended without a later write.
type registerState struct{ value Value }

type registerOp struct {
	read  bool
	value Value // that is written, or was read
}

var registerModel = porcupine.Model{
	Init: func() any { return registerState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, op := state.(registerState), input.(registerOp)
		if op.read {
			return s.value == op.value, s
		}
		return op.value.Token >= s.value.Token, registerState{op.value}
	},
}

// registerOperations are the writes to a register that were committed, and the reads. A write whose answer was lost ended,
// at the latest, when one that was committed after it was answered.
func (h *History) registerOperations(e int, committed map[Value]int64) (ops []porcupine.Operation) {
	type op struct {
		porcupine.Operation
		revision int64
	}
	var list []op
	answered := map[Value]int64{}
	for _, w := range h.Writes {
		if w.Election == e && w.Outcome == Acknowledged {
			answered[w.Value] = int64(w.Return)
		}
	}
	for value, revision := range committed {
		end, ok := answered[value]
		if !ok {
			end = math.MaxInt64
		}
		list = append(list, op{porcupine.Operation{Input: registerOp{value: value}, Call: int64(value.Call), Return: end}, revision})
	}
	for _, r := range h.Reads {
		if r.Election == e {
			ops = append(ops, porcupine.Operation{Input: registerOp{read: true, value: r.Value}, Call: int64(r.Call), Return: int64(r.Return)})
		}
	}
	slices.SortFunc(list, func(a, b op) int { return cmp.Compare(b.revision, a.revision) })
	latest := int64(math.MaxInt64)
	for _, o := range list { // from the last one to the first
		latest = min(latest, o.Return)
		if o.Return == math.MaxInt64 {
			o.Return = max(latest, o.Call)
		}
		ops = append(ops, o.Operation)
	}
	return ops
}

// lockState is who holds a lock, and the turn of whoever held it last.
type lockState struct {
	who  string
	turn int
}

type lockOp struct {
	lockState
	unlock bool
}

// lockModel lets turns follow one another, one at a time. To name the turn, and not only to want larger tokens, leaves the
// search one step to try, however many beliefs there were at once.
var lockModel = porcupine.Model{
	Init: func() any { return lockState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, op := state.(lockState), input.(lockOp)
		if op.unlock {
			return s == op.lockState, lockState{turn: s.turn}
		}
		return s.who == "" && op.turn == s.turn+1, op.lockState
	},
}

// lockOperations are the beliefs in an election: each began between a question that was answered with no and the first
// that was answered with yes, and ended between the last yes and a no. After a kill it is the last yes that ended it.
// Turns are numbered by the order of the tokens.
func (h *History) lockOperations(e int) (ops []porcupine.Operation) {
	var tokens []int64
	beliefs := slices.DeleteFunc(h.beliefsOf(e), func(b Belief) bool { return b.Last <= b.First })
	for _, b := range beliefs {
		tokens = append(tokens, b.Token)
	}
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	for _, b := range beliefs {
		i, _ := slices.BinarySearch(tokens, b.Token)
		held := lockState{b.Who, i + 1}
		end := b.Ended
		if end == 0 {
			end = b.Last + time.Second
		}
		ops = append(ops,
			porcupine.Operation{Input: lockOp{held, false}, Call: int64(b.Asked), Return: int64(b.First)},
			porcupine.Operation{Input: lockOp{held, true}, Call: int64(b.Last), Return: int64(end)})
	}
	return ops
}
