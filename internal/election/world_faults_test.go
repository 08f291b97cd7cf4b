package election

// fault is what a move costs. Nobody pays for what is bound to happen.
type fault uint8

const (
	free     fault = iota
	tick           // time passes
	stop           // a candidate is stopped, or its check fails
	early          // it enters again before it has left
	set            // it gets another value
	guard          // it has work to guard, or has not any more
	work           // that work is not waited for
	lose           // an answer is lost, and what it would have answered may commit later
	late           // and it does
	twice          // a transaction that arrives may do so once more
	deny           // etcd refuses a transaction for good
	slow           // a grant, a renewal or a request for a transfer takes its time
	fresh          // a process takes a new lease without any need
	raft           // etcd has a new leader
	crash          // a process is gone, and another one starts
	transfer       // somebody asks for a transfer
	hand           // PATH or the term key is deleted by hand
	foreign        // a stranger puts PATH, or deletes it
	resync         // a watch begins anew
	sweep          // the removal of what nobody owns
	faults
)

// budget says how much more may go wrong: so many times of each fault, and so many faults in all.
type budget struct {
	of  [faults]int8
	all int8
}

// plenty is as much as one likes, and does not count.
const plenty = 127

// may reports whether the fault can be paid for. Time costs nothing of what faults may cost in all.
func (w *world) may(f fault) bool {
	n := w.left.of[f]
	return f == free || n == plenty || n > 0 && (f == tick || w.left.all > 0)
}

func (w *world) spend(f fault) {
	if f == free || w.left.of[f] == plenty {
		return
	}
	w.left.of[f]--
	if f != tick {
		w.left.all--
	}
}

// slow reports whether what is under way is held up here.
func (w *world) slow() bool {
	if !w.may(slow) || !w.luck.chance(2) {
		return false
	}
	w.spend(slow)
	return true
}

// repeat may leave a transaction that arrives on its way, to arrive once more. (A read that does is one that was made later.)
func (w *world) repeat(f *flight) {
	if f.kind == Read || !w.may(twice) || !w.luck.chance(4) {
		return
	}
	w.spend(twice)
	w.late = append(w.late, f)
	w.logf("%s of %s may arrive twice", f.kind, f.seed)
	w.cover("twice %s", f.kind)
}

// draw gives the world its faults at random: none of a kind, or plenty.
func (w *world) draw() {
	share := 1 + 2*w.luck.pick(4)
	for f := free + 1; f < faults; f++ {
		if w.luck.pick(8) < share {
			w.left.of[f] = plenty
		}
	}
	w.deaf = w.luck.chance(8)
	w.partial = w.luck.chance(3)
}
