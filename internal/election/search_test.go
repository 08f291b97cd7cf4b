package election

import (
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// A search makes every move that may happen, in every order and with every luck, and so visits every state of a world that
// its budget of faults allows. A state is visited once: those that differ only in names are one (world_pack_test.go).
type search struct {
	config
	most int // states, after which it gives up; 0 for no limit

	came func(w *world, is fingerprint, edge int) // is told of each edge, if anybody wants to know

	packer  packer
	visited map[fingerprint]struct{}
	onWay   map[fingerprint]struct{} // of the states on the way to the present one
	rested  map[fingerprint]struct{} // of the states where nothing is bound to happen, but for what may still go wrong
	frames  []*frame
	way     []turn
	spare   world // in which states come to rest

	states, edges, rests, deepest int
}

// config is where a search begins, and what may go wrong.
type config struct {
	name    string
	procs   int
	entered bool          // they have entered and come to rest, instead of just being there
	guarded bool          // they have work that must end before a term does
	leap    time.Duration // by which time passes
	ticks   int8          // so many times
	lag     int           // revisions that a watch may be late: 0 for any number, or atOnce
	all     int8          // so many faults at most, time not counted
	of      map[fault]int8
}

// frame is a state on the way to the present one.
type frame struct {
	w    world
	is   fingerprint
	luck odometer
}

// turn is one step of the way: which move, whose, and with what luck.
type turn struct {
	move, slot int
	luck       []int
}

// odometer is a luck that has every outcome, one after the other.
type odometer struct {
	digits, arity []int
	at            int
}

func (o *odometer) pick(n int) int {
	if o.at == len(o.digits) {
		o.digits, o.arity = append(o.digits, 0), append(o.arity, n)
	}
	o.at++
	return o.digits[o.at-1]
}

func (o *odometer) chance(int) bool { return o.pick(2) == 1 }

func (o *odometer) reset() { o.digits, o.arity, o.at = o.digits[:0], o.arity[:0], 0 }

// next turns to the next outcome, if there is one.
func (o *odometer) next() bool {
	o.digits, o.arity = o.digits[:o.at], o.arity[:o.at]
	for i := o.at - 1; i >= 0; i-- {
		if o.digits[i]++; o.digits[i] < o.arity[i] {
			o.digits, o.arity, o.at = o.digits[:i+1], o.arity[:i+1], 0
			return true
		}
	}
	return false
}

// begin makes the world that the search begins in.
func (c *config) begin(t *tape) *world {
	w := newWorld(calm{}, t)
	w.populate(c.procs)
	for _, p := range w.procs {
		p.grant()
		if c.entered {
			p.enter()
		}
	}
	w.settle()
	for _, p := range w.procs {
		p.guarded = c.guarded
		p.cand.Guard(c.guarded)
	}
	w.brisk = true
	w.leap, w.lag, w.left.all = c.leap, c.lag, c.all
	w.left.of[tick] = c.ticks
	for f, n := range c.of {
		w.left.of[f] = n
	}
	return w
}

// endless is the law that is broken where nothing but what is bound to happen leads back to the same state.
const endless = "law 8: this can go on for ever"

// full is returned by a search that has visited as many states as it may.
const full = "full"

// run visits all states. It returns the law that is broken in one, if any: then the way leads there.
func (s *search) run() (broken string) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	s.visited, s.onWay, s.rested = map[fingerprint]struct{}{}, map[fingerprint]struct{}{}, map[fingerprint]struct{}{}
	w := s.frame(0)
	s.config.begin(nil).clone(&w.w)
	broken = violated(func() { s.arrive(0, s.packer.fingerprint(&w.w)) })
	for i := range s.way {
		o := &s.frames[i].luck
		s.way[i].luck = o.digits[:o.at]
	}
	return broken
}

// violated does something and returns the law that it breaks, if any.
func violated(do func()) (broken string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case violation:
			broken = r.text
		default:
			broken = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	do()
	return ""
}

func (s *search) frame(depth int) *frame {
	if depth == len(s.frames) {
		s.frames = append(s.frames, &frame{})
	}
	return s.frames[depth]
}

// arrive visits a state for the first time.
func (s *search) arrive(depth int, is fingerprint) {
	if s.states++; s.states == s.most {
		panic(violation{full})
	}
	s.deepest, s.frames[depth].is = max(s.deepest, depth), is
	s.visited[is], s.onWay[is] = struct{}{}, struct{}{}
	bound := false
	for m := range moves {
		for slot := range s.procs {
			if slot == 0 || !moves[m].world {
				bound = s.try(depth, m, slot) && moves[m].bound || bound
			}
		}
	}
	if !bound {
		s.rest(&s.frames[depth].w)
	}
	delete(s.onWay, is)
}

// try makes a move with every luck, and goes on from there.
func (s *search) try(depth, m, slot int) (could bool) {
	from, to := s.frame(depth), s.frame(depth+1)
	from.luck.reset()
	if !from.w.may(moves[m].fault) {
		return false
	}
	for more, used := true, true; more; more = from.luck.next() {
		if used {
			from.w.clone(&to.w)
			to.w.luck = &from.luck
		}
		s.way = append(s.way, turn{move: m, slot: slot})
		if used = to.w.make(moves[m], to.w.procs[slot]); used {
			could = true
			s.went(depth+1, moves[m].bound)
		}
		used = used || from.luck.at > 0
		s.way = s.way[:len(s.way)-1]
	}
	return could
}

// went looks at where a move has led.
func (s *search) went(depth int, bound bool) {
	s.edges++
	is := s.packer.fingerprint(&s.frames[depth].w)
	if _, ok := s.onWay[is]; ok && (bound || is != s.frames[depth-1].is) {
		panic(violation{endless})
	}
	if s.came != nil {
		s.came(&s.frames[depth].w, is, s.edges)
	}
	if _, ok := s.visited[is]; !ok {
		s.arrive(depth, is)
	}
}

// rest looks at a state in which nothing is bound to happen.
func (s *search) rest(from *world) {
	w := from.clone(&s.spare)
	w.left, w.late = budget{}, nil
	is := s.packer.fingerprint(w)
	if _, ok := s.rested[is]; ok {
		return
	}
	s.rests++
	s.rested[is] = struct{}{}
	w.comeToRest()
}

// comeToRest looks at who leads when nothing more goes wrong.
func (w *world) comeToRest() {
	if w.luck, w.left, w.late = (calm{}), (budget{}), nil; w.sound() {
		w.rest()
	} else {
		w.heal()
	}
}

// sound reports whether all leases are good, and nothing is left of processes that have died, or of strangers.
func (w *world) sound() bool {
	for _, p := range w.procs {
		l, life := p.hold.Lease(p.hold.Current), w.life(p.hold.Current)
		if l == nil || life == nil || !l.Alive(w.now+grace) || l.RaftTerm != w.raft || life.raft != w.raft {
			return false
		}
	}
	return !slices.ContainsFunc(w.etcd.keys, func(k kv) bool { return !w.etcdKnowsOwner(k.key.Lease) })
}
