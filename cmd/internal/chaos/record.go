package chaos

import (
	"fmt"
	"time"
)

// History is all that was written down in a run, by the candidates and by a client that watched etcd. Times are readings of
// CLOCK_BOOTTIME.
type History struct {
	Prefix    string // of all keys
	Elections int
	TTL       time.Duration
	Begin     time.Duration // when all candidates ran
	End       time.Duration
	Beliefs   []Belief
	Writes    []Write
	Reads     []Read
	Changes   []Change
	Faults    []Fault
	Calms     []Calmed
	Leaders   []Leadership     // of etcd
	Probes    []Probe          // of etcd's members
	Pinned    map[string][]int // by candidate: the members that it knows, if not all, counted from 1
}

// Belief is what one candidate believed of one term. It believed it at First, at Last and at all times in between.
type Belief struct {
	Election    int           `json:"e"`
	Who         string        `json:"who"` // the process: a candidate's name and how often it was started before
	Token       int64         `json:"token"`
	Asked       time.Duration `json:"asked"` // a question before this was answered with no, or never asked
	First, Last time.Duration
	Until       time.Duration // at Last it would have believed up to then without hearing more of etcd, if it knew
	Ended       time.Duration // a question that began then was answered with no; 0 if none was, as after a kill
	Cause       string        // why it ended, as it was told; empty if it was not, as after a kill
}

// Lost tells a term that ended by a fault from one that was given up on purpose.
func (b *Belief) Lost() bool { return b.Cause != causeStopped && b.Cause != causeTransferred }

const (
	causeStopped     = "stopped"
	causeTransferred = "transferred"
	causeLost        = "lost"
)

// Outcome is how a fenced write ended.
type Outcome string

// A write that was neither acknowledged nor refused may have been done, or may be done later.
const (
	Acknowledged Outcome = "acknowledged"
	Refused      Outcome = "refused" // by the fence
	Unknown      Outcome = "unknown"
)

// Write is one fenced write to the register of an election.
type Write struct {
	Election     int           `json:"e"`
	Value        Value         `json:"value"`
	Return       time.Duration `json:"return"`
	Revision     int64         `json:"revision"` // of an acknowledged one
	Outcome      Outcome       `json:"outcome"`
	AfterTheTerm bool          `json:"after"` // was tried although the term was known to be over
}

// Value is what is written: it is different in each write.
type Value struct {
	Who   string        `json:"who"`
	Token int64         `json:"token"`
	Seq   int64         `json:"seq"`
	Call  time.Duration `json:"call"`
}

// Read is a linearizable read of a register by somebody who does not compete.
type Read struct {
	Election     int
	Call, Return time.Duration
	Revision     int64 // at which the value was put, 0 if there was none
	Value        Value
}

// Change is one change of a key, as etcd's history has it.
type Change struct {
	Revision, Create int64
	Key, Value       string
	Lease            int64
	Deleted          bool
	Seen             time.Duration // when the watch told
}

// Fault is one that was made.
type Fault struct {
	Kind       string        `json:"kind"`
	Target     string        `json:"target"`
	Candidate  string        `json:"candidate,omitempty"` // the one that it was made to, if it was
	Member     int           `json:"member,omitempty"`    // of etcd, counted from 1, that it was made to, if it was
	Leaves     bool          `json:"leaves,omitempty"`    // it made a leader leave on purpose
	Election   int           `json:"election"`
	Begin, End time.Duration // until it was healed
	Hit        bool          `json:"hit"`
	Evidence   string        `json:"evidence"`
}

// Calmed is a time in which no fault was made and all were healed.
type Calmed struct {
	Begin, End time.Duration
	All        time.Duration // when each election had a leader that believed it; 0 if that did not happen
	Waiting    []int         // elections that had none
}

// Leadership is a change of etcd's leader.
type Leadership struct {
	At       time.Duration
	Member   string
	RaftTerm uint64
}

// Probe is a time in which a member answered linearizable reads, one after the other.
type Probe struct {
	Member   int // counted from 1
	From, To time.Duration
}

// Below the prefix of a run each election has a path, and a register that its leader writes to.
func electionPath(prefix string, e int) string { return fmt.Sprintf("%se%d", prefix, e) }
func registerKey(prefix string, e int) string  { return fmt.Sprintf("%sr%d", prefix, e) }
