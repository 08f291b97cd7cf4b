package election

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A world is one election with everything around it: etcd, its leases, the network, and processes with a candidate each.
// Whatever may happen in it is a move (world_moves_test.go), in any order (walk_test.go); every step is checked against the
// laws (world_laws_test.go).

const (
	path  = "/job"
	ttl   = 100 * time.Nanosecond
	grace = 20 * time.Nanosecond
)

type world struct {
	pick  func(n int) int // any number below n: all that is left to chance
	mix   mix
	etcd  store
	now   time.Duration
	raft  uint64
	lives []lifetime
	procs []*proc
	late  []*flight // transactions that nobody waits for any more
	count int       // numbers leases and processes

	// What the laws look at.
	top      int64           // largest token so far
	selected int64           // the largest that was selected
	mirror   string          // process that put PATH last, empty if that was done by hand
	byHand   map[int64]bool  // tokens of the terms whose key was deleted by hand
	requests map[string]bool // transfers that were ever asked for
	wish     *View           // what somebody who is about to ask for a transfer has read
	asks     int

	tracing bool
	trace   []string
	seen    map[string]int // what was covered
}

// mix says which faults there are in a run. A deaf one hears nothing from watches, in a partial one the process renews its
// oldest lease only.
type mix struct {
	deaf, partial, time, stop, early, set, work, lose, late, deny bool
	moves, raft, crash, transfer, hand, foreign, resync, sweep    bool
}

func (m *mix) draw(pick func(int) int) {
	share := 1 + 2*pick(4)
	for _, b := range []*bool{
		&m.deaf, &m.partial, &m.time, &m.stop, &m.early, &m.set, &m.work, &m.lose, &m.late, &m.deny,
		&m.moves, &m.raft, &m.crash, &m.transfer, &m.hand, &m.foreign, &m.resync, &m.sweep,
	} {
		*b = pick(8) < share
	}
	m.deaf = m.deaf && pick(4) == 0
}

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

	raft     uint64
	granting *granting
	renewals []*renewing
	leases   []int64         // ever granted to it
	nonces   map[string]bool // ever put by it: whether it gave them up
}

// snapshot is a read of the whole election, on its way.
type snapshot struct {
	rev     int64
	changes []Change
}

// flight is a transaction on its way.
type flight struct {
	from    *proc
	seq     uint64
	kind    Kind
	txn     Txn
	sweep   bool
	applied bool
	res     result
	err     error
}

func (w *world) begin(pick func(int) int, tracing bool) {
	*w = world{pick: pick, etcd: newStore(), raft: 1, tracing: tracing}
	w.byHand, w.requests, w.seen = map[int64]bool{}, map[string]bool{}, map[string]int{}
}

// populate starts some processes.
func (w *world) populate(n int) {
	for i := range n {
		w.procs = append(w.procs, w.newProc(string(rune('a'+i))))
	}
}

func (w *world) newProc(id string) *proc {
	w.count++
	p := &proc{w: w, id: id, seed: id + strconv.Itoa(w.count), alive: true, raft: w.raft, nonces: map[string]bool{}}
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

func (w *world) snapshot() snapshot {
	r, err := w.etcd.txn(Txn{Then: ReadAll(path)})
	if err != nil {
		panic(err)
	}
	return snapshot{r.rev, r.read}
}

// step gives the candidate an input and does what it asks for.
func (p *proc) step(in Input) {
	in.At, in.View, in.Holding = p.w.now, &p.view, &p.hold
	p.w.logf("%s %s", p.id, describe(in))
	for _, a := range p.cand.Step(in) {
		p.do(a)
	}
	p.prune()
	if !p.cand.NeedsPath(&p.view) {
		p.pathOpen = false
	}
	p.checkNonces()
}

func (p *proc) do(a Action) {
	w := p.w
	w.logf("%s   -> %s", p.id, action(a))
	switch a.Do {
	case Ask:
		f := &flight{from: p, seq: a.Seq, kind: a.Kind, txn: a.Txn}
		p.checkAsk(f)
		p.flight = f
		w.asks++
	case Select:
		p.checkSelect(a)
		p.believing, p.token, p.working = true, a.Token, p.guarded
		w.selected = a.Token
	case Deselect:
		p.checkDeselect(a)
		p.believing = false
	case Wait:
		p.sleeping = true
	case Foreign:
		p.checkForeign()
	}
	w.seen[strings.Fields(action(a))[0]]++
}

// prune drops the leases that the candidate has no use for any more.
func (p *proc) prune() {
	if p.hold.Current != 0 {
		p.hold.Leases = slices.DeleteFunc(p.hold.Leases, func(l *Lease) bool {
			return l.ID != p.hold.Current && !p.cand.Names(l.ID)
		})
	}
}

// apply lets etcd execute a transaction.
func (w *world) apply(f *flight) {
	before, rev := w.etcd.keys, w.etcd.rev
	f.applied = true
	f.res, f.err = w.etcd.txn(f.txn)
	w.logf("etcd: %s of %s: ok=%v rev=%d %v", f.kind, f.from.seed, f.res.ok, f.res.rev, f.err)
	w.seen[fmt.Sprintf("%s %v %v", f.kind, f.res.ok, f.err)]++
	if f.err == errDuplicate {
		w.fail("etcd refuses a %s of %s: %v", f.kind, f.from.seed, f.err)
	}
	if w.etcd.rev != rev {
		w.judge(before, f)
	}
}

// answer gives the candidate the reply to its transaction.
func (p *proc) answer() {
	f := p.flight
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
		p.saw(snapshot{f.res.rev, f.res.read})
	}
	p.step(Input{What: Answer, Reply: reply})
}

// saw takes what was read of the whole election. Some callers tell the candidate of it at once.
func (p *proc) saw(s snapshot) {
	p.view.Reset(path, s.rev, s.changes)
	if p.w.pick(2) == 1 {
		p.step(Input{What: Seen})
	}
}
