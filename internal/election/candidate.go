package election

import (
	"slices"
	"strings"
	"time"
)

// Place is where a candidate stands in its election.
type Place uint8

// The places of a candidate.
const (
	Nowhere  Place = iota // it has no key, as far as it knows
	Queued                // it has a queue key
	Elected               // it has the term key, whether or not it still believes to lead
	Stranded              // PATH is its own, but its term key was deleted by hand
)

// Candidate is the state of one node's candidacy in one election.
type Candidate struct {
	path    string
	seed    string        // begins every nonce of this candidate
	serial  int           // counts its nonces
	grace   time.Duration // how long before a lease's deadline belief ends
	guarded bool          // work must end before a term is given up

	// What is wanted.
	want  bool
	cause Cause // why not
	data  string

	// What is known, at revision at.
	at      int64
	nonce   string // of this candidacy; empty while it has none
	next    string // of the key that a new term, a repair or a transfer puts: kept until that is known to be done
	key     Key    // queue or term key
	pathMod int64  // at which the candidate last put PATH; 0 once PATH is known not to be its own
	place   Place

	// What is believed.
	believing bool
	token     int64 // of the term that is believed in
	spent     int64 // no term with this token or a smaller one is believed in again
	working   bool  // guarded work goes on
	overdue   bool  // and is not waited for, but the candidate stays out of the queue until it ends

	// What is under way.
	asked      Kind
	askedData  string
	askedLease int64
	askedMod   int64   // ModRevision of the key that it was for
	lost       []int64 // leases named by transactions of which nothing was heard
	lostMod    int64   // ModRevision of the key that those would put: they can be done as long as it is that
	seq        uint64
	doubt      bool // the outcome of the last transaction is unknown
	pause      bool // wait before the next transaction
	waiting    bool
	out        bool  // the user was told that nothing is left
	fails      int   // transactions in a row that did not commit
	heir       int64 // lease of whom the last handover was to
	gap        int64 // a successor's lease that must not be used, 0 if there is none
	foreign    int64 // ModRevision of the stranger's PATH that the user was told of
}

// NewCandidate gives a candidate that does not compete yet. The seed begins its nonces, so it must be unique. Belief in a
// term ends grace before the deadline of its lease.
func NewCandidate(path, seed string, grace time.Duration) *Candidate {
	return &Candidate{path: path, seed: seed, grace: grace, out: true}
}

// Guard says whether a Deselect will be answered by a Rested, and nothing given up before. It holds from the next term on.
func (c *Candidate) Guard(guarded bool) { c.guarded = guarded }

// Place is where the candidate stands, as far as it knows.
func (c *Candidate) Place() Place { return c.place }

// Key is the candidate's queue or term key as last known.
func (c *Candidate) Key() Key { return c.key }

// Leading gives the term that the candidate believes to hold.
func (c *Candidate) Leading() (term Key, ok bool) { return c.key, c.believing }

// Gone reports whether nothing of the candidate is left in etcd, as far as can be known, and nothing wanted there.
func (c *Candidate) Gone() bool { return c.out }

// Settled reports whether the candidate's data is in etcd, and nothing under way that would put other data there.
func (c *Candidate) Settled() bool {
	return c.place != Nowhere && c.key.Data == c.data && (c.asked == Idle || c.askedData == c.data) && !c.unsettled()
}

// Owns reports whether the candidate has a use for a key with that nonce, or may have one.
func (c *Candidate) Owns(nonce string) bool {
	return nonce != "" && (nonce == c.nonce || nonce == c.next)
}

// Made reports whether the candidate has made a nonce, at any time.
func (c *Candidate) Made(nonce string) bool { return strings.HasPrefix(nonce, c.seed+".") }

// Names reports whether a key of the candidate, or a transaction that may still be done, names the lease.
func (c *Candidate) Names(lease int64) bool {
	return c.place != Nowhere && (c.key.Lease == lease || c.unsettled() && slices.Contains(c.lost, lease)) ||
		c.asked != Idle && c.askedLease == lease
}

// wanted reports whether the candidate shall have a key.
func (c *Candidate) wanted() bool { return c.want && !c.overdue }

// Requested reports whether the holder of the candidate's term is asked to hand over.
func (c *Candidate) Requested(v *View) bool {
	_, ok := c.request(v)
	return ok
}

// Busy reports whether the candidate leads, asks, or has yet to find out what became of its keys.
func (c *Candidate) Busy() bool {
	return c.believing || c.asked != Idle || c.doubt || c.place == Stranded || c.pathMod != 0
}

// Unaware reports whether the candidate may have been elected at that revision and not know it yet: it waits, and its view has
// not come so far.
func (c *Candidate) Unaware(v *View, revision int64) bool {
	return c.place == Queued && v.Revision < revision
}

// AskedLease is the lease that the transaction under way, or else the last one, names as the candidate's own.
func (c *Candidate) AskedLease() int64 { return c.askedLease }

// NeedsPath reports whether the candidate must be told of changes of PATH.
func (c *Candidate) NeedsPath(v *View) bool {
	return c.place == Elected || c.place == Queued && v.Barred() && v.Head().Nonce == c.nonce
}

// Step takes one input and returns what is to be done about it, in order.
func (c *Candidate) Step(in Input) []Action {
	var out []Action
	if in.What == WentBack {
		out = c.beginAnew()
	}
	out = c.lapse(in, out)
	c.take(in)
	if in.View.Revision >= c.at {
		c.locate(in.View)
	}
	out = c.believe(in, out)
	return c.decide(in, out)
}

// take notes the input.
func (c *Candidate) take(in Input) {
	switch in.What {
	case Enter:
		c.want, c.data, c.out = true, in.Data, false
		c.pause, c.waiting, c.fails = false, false, 0
	case Leave:
		c.want, c.cause = false, in.Cause
		c.pause, c.waiting = false, false
	case Set:
		c.data = in.Data
	case Answer:
		c.answered(in.Reply)
	case Rested:
		c.working, c.overdue = false, false
	case Overdue:
		c.overdue = c.working && !c.believing
	case Woke:
		c.waiting = false
	}
}

// beginAnew forgets what was known of an etcd that has gone back: one that was restored to an earlier state, or replaced. Nothing
// of it is true any more, not even that revisions grow; what is under way is not waited for. Work that goes on is.
func (c *Candidate) beginAnew() (out []Action) {
	if c.believing {
		out = c.deselect(Removed, out)
	}
	c.asked, c.doubt, c.pause, c.lost = Idle, false, false, nil
	c.forget()
	c.at, c.spent, c.foreign = 0, 0, 0
	return out
}

// answered notes the reply to the transaction under way. A reply to any other is not heard.
func (c *Candidate) answered(r Reply) {
	if c.asked == Idle || r.Seq != c.seq {
		return
	}
	kind := c.asked
	c.asked = Idle
	if r.Result == Committed {
		c.doubt = false
		if kind != Read { // reading well says nothing about writing
			c.fails = 0
		}
		if kind != Read && r.Revision > c.at {
			c.committed(kind, r.Revision)
		}
		return
	}
	c.fails++
	switch {
	case r.Result == Refused:
		c.doubt = false
		c.pause = c.fails > patience
	case r.Result == Denied && kind == HandOver:
		c.doubt = r.Doubt
		if c.askedMod == c.key.Mod { // not if it was done even so
			c.gap = c.heir
		}
	case r.Result == Denied && kind == Read && c.place == Nowhere && !c.want:
		c.forget() // what cannot be read cannot be found out: if anything was put, the sweep finds it
		c.doubt = false
	case r.Result == Denied && !r.Doubt:
		c.pause = true
	default:
		c.doubt, c.pause = true, true
		if c.askedLease != 0 && c.askedMod == c.key.Mod {
			c.lose(c.askedLease)
		}
	}
}

// lose notes that a transaction that puts the key as it is may still be done, unheard of.
func (c *Candidate) lose(lease int64) {
	if !c.unsettled() {
		c.lost = nil
	}
	if !slices.Contains(c.lost, lease) { // in a long outage there are many attempts
		c.lost = append(c.lost, lease)
	}
	c.lostMod = c.key.Mod
}

// unsettled reports whether a transaction of which nothing was heard may still put the key, with what was wanted and on the
// lease that was current then. The next one ends that.
func (c *Candidate) unsettled() bool {
	return len(c.lost) > 0 && c.lostMod == c.key.Mod && c.key.Exists()
}

// patience is how many refusals in a row a candidate answers at once, with what it has just read.
const patience = 3

// committed brings what is known up to the revision at which the candidate's own transaction committed.
func (c *Candidate) committed(kind Kind, revision int64) {
	c.at = revision
	switch kind {
	case Entry, Claim:
		c.hold(Elected, c.nonce, revision)
	case NewTerm, Repair:
		c.hold(Elected, c.next, revision)
	case HandOver:
		next := c.next
		c.forget()
		if c.askedLease != 0 {
			c.hold(Queued, next, revision)
		}
	case Rewrite:
		c.key.Data, c.key.Lease, c.key.Mod = c.askedData, c.askedLease, revision
		if c.place == Elected {
			c.pathMod = revision
		}
	case Exit, Resign, Drop, Clear:
		c.forget()
	}
}

// hold notes that the candidate's own transaction put a key of it.
func (c *Candidate) hold(place Place, nonce string, revision int64) {
	c.place, c.nonce, c.next, c.pathMod, c.gap = place, nonce, "", 0, 0
	c.key = Key{Nonce: nonce, Data: c.askedData, Create: revision, Mod: revision, Lease: c.askedLease}
	if place == Elected {
		c.pathMod = revision
	}
}

// forget gives up a candidacy that has ended.
func (c *Candidate) forget() {
	c.place, c.next, c.key, c.pathMod, c.gap = Nowhere, "", Key{}, 0, 0
	c.giveUp()
}

// giveUp gives up the nonce of a candidacy that has ended: it is never used again. An entry under way may still put it, so
// the candidate keeps it until that has come back.
func (c *Candidate) giveUp() {
	if c.asked != Entry {
		c.nonce = ""
	}
}

// locate looks for the candidate in a view that is not older than what it knows.
func (c *Candidate) locate(v *View) {
	c.at = v.Revision
	key, place := c.find(v)
	switch {
	case place != Nowhere:
		if key.Nonce != c.nonce {
			c.nonce, c.next, c.gap = key.Nonce, "", 0
		}
		c.place, c.key, c.pathMod = place, key, 0
		if place == Elected {
			c.pathMod = key.Mod
		}
	case c.place == Queued:
		c.forget()
	case c.place == Elected:
		c.place, c.key = Nowhere, Key{} // PATH may be left: see reconcile
		c.giveUp()
	}
	c.reconcile(v)
}

func (c *Candidate) find(v *View) (Key, Place) {
	for _, nonce := range [...]string{c.next, c.nonce} { // the next one took the place of the other, whatever came of that since
		if nonce == "" {
			continue
		}
		if v.Term.Nonce == nonce {
			return v.Term, Elected
		}
		create := int64(0)
		if c.place == Queued && nonce == c.nonce {
			create = c.key.Create
		}
		if k := v.Waiting(nonce, create); k.Exists() {
			return k, Queued
		}
	}
	return Key{}, Nowhere
}

// reconcile tells, once PATH is known at the same revision, whether a candidate without a term key has left PATH behind.
func (c *Candidate) reconcile(v *View) {
	if c.pathMod == 0 || c.place == Elected || !v.Exact() {
		return
	}
	if v.Path.Mod == c.pathMod && !v.Term.Exists() {
		c.place = Stranded
		return
	}
	c.forget()
}

// overwritten reports whether PATH is known not to be as the elected candidate left it. It can only be known of an exact
// view, since the watches on PATH and on the other keys have no order.
func (c *Candidate) overwritten(v *View) bool {
	return c.place == Elected && c.at == v.Revision && v.Exact() && v.Path.Mod != c.key.Mod
}

// suspicious reports whether PATH must be read to know where the candidate stands.
func (c *Candidate) suspicious(v *View) bool {
	switch c.place {
	case Nowhere:
		return c.pathMod != 0
	case Elected:
		return v.PathRevision > c.key.Mod && v.Path.Mod != c.key.Mod && !c.overwritten(v)
	default:
		return false
	}
}
