package election

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A world is one election with everything around it: etcd, its leases, the network, and processes with a candidate each.
// Whatever may happen in it is a move (world_moves_test.go). A walk makes moves at random (walk_test.go), the search makes
// every one of them in every order (search_test.go). Every step is checked against the laws (world_laws_test.go).

const (
	path  = "/job"
	ttl   = 100 * time.Nanosecond
	grace = 20 * time.Nanosecond
)

type world struct {
	luck  luck
	left  budget
	leap  time.Duration // how far the clock jumps, 0 for any number
	etcd  store
	now   time.Duration
	raft  uint64
	lives []lifetime
	procs []*proc
	late  []*flight // transactions that nobody waits for any more
	saved *backup   // what etcd goes back to, nil for nothing at all
	gone  []store   // etcd before it went back, each time
	backs int       // how often it did
	count int       // numbers leases and processes

	lag     int  // revisions that a watch may be late: 0 for any number, or atOnce
	brisk   bool // processes do at once what waits for nobody else (world_brisk_test.go)
	deaf    bool // nobody hears of anything from a watch
	partial bool // processes renew their oldest lease only

	// What the laws look at.
	top      int64     // largest token so far
	selected int64     // the largest that was selected
	mirror   string    // process that put PATH last, empty if that was done by hand
	byHand   []int64   // tokens of the terms whose key was deleted by hand
	requests []string  // transfers that were ever asked for
	wish     *snapshot // what somebody who is about to ask for a transfer has read
	asks     int

	tracing bool
	trace   []string
	seen    map[string]int // what was covered, nil if nobody wants to know
	tape    *tape          // writes down what candidates are told, nil if nobody wants to know
}

// luck decides whatever the laws leave open.
type luck interface {
	pick(n int) int    // any number below n
	chance(n int) bool // once in so many times
}

// calm is the luck of a world where nothing happens that need not.
type calm struct{}

func (calm) pick(int) int    { return 0 }
func (calm) chance(int) bool { return false }

// proc is a process with one candidate.
type proc struct {
	w     *world
	id    string
	seed  string
	alive bool
	cand  *Candidate
	view  View
	hold  Holding

	// What it is told by watches and reads.
	watched  int // how much of etcd's log the watch has delivered
	pathOpen bool
	pathSeen int
	reads    []snapshot

	flight    *flight
	tidying   []*flight // what a sweep asked for
	listing   *snapshot
	listed    int64 // the lease that was listed
	sleeping  bool  // a Wait has not been answered
	held      bool  // in a brisk world: the process is held up
	wants     bool
	values    int
	data      string
	guarded   bool // from the next term on
	working   bool
	overdue   bool
	believing bool
	token     int64
	lapsed    int64 // token of the term in which belief has run out
	denied    int64 // token of the term whose handover was denied

	stale   bool          // what it knows is of an etcd that has gone back since, and it has not found out
	unaware bool          // it did not know that etcd had ever been further when that went back
	known   int64         // the latest revision that it has heard of
	barred  time.Duration // it gets no lease before

	raft     uint64
	granting granting
	renewals []renewing
	leases   []int64  // ever granted to it
	nonces   []string // put by it, and not given up as far as is known
	given    []string // given up
	room     []Lease  // what a clone keeps its leases in
}

// snapshot is a read of the whole election, on its way.
type snapshot struct {
	rev     int64
	changes []Change
}

// flight is a transaction on its way. Once it is there it is not changed any more, so clones of a world share it.
type flight struct {
	from    int // the place of the process, which another one may have taken since
	seed    string
	seq     uint64
	kind    Kind
	txn     Txn
	sweep   bool
	gap     bool // a handover of the term was denied to the process
	sent    int  // how often etcd had gone back, as far as who sent it knew
	applied bool
	back    int // and when it was applied
	res     result
	err     error
}

// populate starts some processes.
func (w *world) populate(n int) {
	for i := range n {
		w.procs = append(w.procs, w.newProc(string(rune('a'+i)), ""))
	}
}

func newWorld(l luck, t *tape) *world {
	return &world{luck: l, etcd: newStore(), raft: 1, tracing: t != nil, tape: t}
}

// newProc starts a process. The generation tells it from earlier ones with the same id.
func (w *world) newProc(id, generation string) *proc {
	p := &proc{w: w, id: id, seed: id + generation, alive: true, raft: w.raft, unaware: w.backs > 0}
	p.cand = NewCandidate(path, p.seed, grace)
	p.data = Join(id, "0")
	p.reopen()
	p.read()
	return p
}

func (w *world) logf(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%4d ", w.now)+fmt.Sprintf(format, args...))
	}
}

// cover counts what has happened.
func (w *world) cover(format string, args ...any) {
	if w.seen != nil {
		w.seen[fmt.Sprintf(format, args...)]++
	}
}

func (w *world) snapshot() snapshot {
	r, err := w.etcd.txn(Txn{Then: ReadAll(path)})
	if err != nil {
		panic(err)
	}
	return snapshot{r.rev, r.read}
}

// step gives the candidate an input and does what it asks for.
func (p *proc) step(in Input) {
	w := p.w
	in.At, in.View, in.Holding = w.now, &p.view, &p.hold
	p.hear(max(p.view.Revision, p.view.PathRevision, in.Reply.Revision))
	if w.tracing {
		w.logf("%s %s", p.id, describe(in))
	}
	w.tape.stepped(p, in)
	for _, a := range p.cand.Step(in) {
		p.do(a)
	}
	p.prune()
	needed := p.cand.NeedsPath(&p.view)
	if p.pathOpen = p.pathOpen && needed; needed && !p.pathOpen && !w.slow() {
		p.openPath()
	}
	p.checkNonces()
}

func (p *proc) do(a Action) {
	w := p.w
	if w.tracing {
		w.logf("%s   -> %s", p.id, action(a))
	}
	w.tape.did(p, a)
	switch a.Do {
	case Ask:
		f := &flight{from: p.slot(), seed: p.seed, seq: a.Seq, kind: a.Kind, txn: a.Txn, sent: p.backs()}
		f.gap = p.denied != 0 && p.denied == p.cand.Key().Create
		p.checkAsk(f)
		p.flight = f
		w.asks++
	case Select:
		p.checkSelect(a)
		p.believing, p.token, p.working = true, a.Token, p.guarded
		if !p.stale {
			w.selected = a.Token
		}
	case Deselect:
		p.checkDeselect(a)
		p.believing = false
	case Wait:
		p.sleeping = true
	case Foreign:
		p.checkForeign()
	}
	if w.seen != nil {
		w.seen[strings.Fields(action(a))[0]]++
	}
}

// slot is the place of the process in the world: that of its id.
func (p *proc) slot() int { return int(p.id[0] - 'a') }

// prune drops the leases that the candidate has no use for any more.
func (p *proc) prune() {
	if p.hold.Current != 0 {
		p.hold.Leases = slices.DeleteFunc(p.hold.Leases, func(l *Lease) bool {
			return l.ID != p.hold.Current && !p.cand.Names(l.ID)
		})
	}
}

// apply lets etcd execute a transaction. It returns the flight as it was then.
func (w *world) apply(sent *flight) *flight {
	f := *sent
	before, rev := w.etcd.keys, w.etcd.rev
	f.applied, f.back = true, w.backs
	f.res, f.err = w.etcd.txn(f.txn)
	w.logf("etcd: %s of %s: ok=%v rev=%d %v", f.kind, f.seed, f.res.ok, f.res.rev, f.err)
	w.cover("%s %v %v", f.kind, f.res.ok, f.err)
	if f.err == errDuplicate {
		w.fail("etcd refuses a %s of %s: %v", f.kind, f.seed, f.err)
	}
	if w.etcd.rev != rev {
		w.judge(before, &f)
	}
	return &f
}

// answer gives the candidate the reply to its transaction.
func (p *proc) answer() {
	f := p.flight
	if p.tells(f) {
		p.learn()
		return
	}
	p.flight = nil
	reply := Reply{Seq: f.seq, Revision: f.res.rev}
	switch {
	case f.err != nil: // the lease is gone
		reply.Result = Unknown
		p.lost(p.cand.AskedLease())
	case !f.res.ok:
		reply.Result = Refused
	}
	if f.err == nil && (!f.res.ok || f.kind == Read) {
		p.view.Reset(path, f.res.rev, f.res.read)
		p.w.tape.read(p, snapshot{f.res.rev, f.res.read})
		if p.w.luck.chance(2) { // some callers tell the candidate of it at once
			p.step(Input{What: Seen})
		}
	}
	p.step(Input{What: Answer, Reply: reply})
}

// crash ends a process. Its leases end in their own time, and another process takes its place.
func (w *world) crash(p *proc) bool {
	w.logf("%s crashes", p.id)
	p.alive = false
	if p.flight != nil && !p.flight.applied {
		w.late = append(w.late, p.flight)
	}
	w.count++
	w.procs[p.slot()] = w.newProc(p.id, strconv.Itoa(w.count))
	return true
}
