package election

import "time"

// What happened to a candidate.
type What uint8

// The inputs of a candidate.
const (
	Enter    What = iota // it shall compete: Input.Data
	Leave                // it shall not: Input.Cause is told to the user if it led
	Set                  // its data shall be Input.Data
	Seen                 // the view or the holding moved
	Answer               // the transaction under way came back: Input.Reply
	Expired              // the time up to which it may believe to lead has passed
	Rested               // the work that it guarded has ended
	Overdue              // that work is given up on: the term is handed over while it goes on
	Woke                 // the delay that Wait asked for is over
	WentBack             // etcd has lost what was known of it: the view is empty, no lease is left, and nothing of before will be answered
)

// Input is one thing that happened to a candidate, and all that it may look at to decide.
type Input struct {
	What    What
	At      time.Duration // reading of the clock that the holding's deadlines are on
	View    *View
	Holding *Holding

	Data  string
	Cause Cause
	Reply Reply
}

// Result is the outcome of a transaction.
type Result uint8

// The outcomes of a transaction.
const (
	Committed Result = iota // its Then was done, at Reply.Revision
	Refused                 // its Else was done: the input's view is now at least as new as what it read
	Denied                  // etcd refuses it, and will until somebody changes something
	Unknown                 // it was done, will be done, or will not
)

// Reply is the answer to a transaction.
type Reply struct {
	Seq      uint64 // of the Ask
	Result   Result
	Revision int64
	Doubt    bool // it was denied, but may have been done even so: etcd out of space is that undecided
}

// Cause says why a candidate stopped leading.
type Cause uint8

// The causes of the end of a term.
const (
	None        Cause = iota
	Lapsed            // not renewed in time
	Transferred       // handed over at somebody's request
	Stopped           // the node was stopped
	Removed           // its keys were deleted or overwritten by somebody else
	Unhealthy         // its check failed
)

// Do is what an action asks for.
type Do uint8

// The actions that a candidate asks for.
const (
	Ask      Do = iota // commit Action.Txn and answer with its Seq; its nonce is registered by now
	Select             // the candidate leads, with Action.Token, up to Candidate.Until
	Deselect           // it does not any more, for Action.Cause; answer Rested when guarded work has ended
	Wait               // feed Woke after a delay that grows with Action.Attempt
	Foreign            // tell the user that PATH is held by a stranger
	Out                // nothing of the candidate is left: it can Enter again
)

// Action is one thing that the caller must do for a candidate.
type Action struct {
	Do      Do
	Seq     uint64
	Kind    Kind
	Txn     Txn
	Token   int64
	Cause   Cause
	Attempt int
}

// Kind names a transaction.
type Kind uint8

// The transactions of the protocol.
const (
	Idle     Kind = iota // none is under way
	Read                 // of the whole election
	Entry                // into the queue, or elected at once
	Claim                // by the head of the queue
	Exit                 // from the queue
	HandOver             // to a waiting candidate
	Resign               // with nobody to follow
	NewTerm              // of the same leader
	Repair               // of a term key that was deleted by hand
	Clear                // PATH, whose term key was deleted by hand
	Drop                 // a term whose PATH was overwritten
	Rewrite              // data or lease
	Refuse               // a transfer
)

var kindNames = [...]string{
	"idle", "read", "enter", "claim", "leave", "hand over", "resign", "new term", "repair", "clear", "drop", "rewrite", "refuse",
}

func (k Kind) String() string { return kindNames[k] }
