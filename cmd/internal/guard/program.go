package guard

import (
	"fmt"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// Program is what a guard runs. Standard input, output and error are those of the supervisor.
type Program struct {
	Path string // of the executable
	Args []string
	Env  []string
}

// Times bound how a program ends.
type Times struct {
	Grace time.Duration // from TERM to KILL, at most
}

// Reserve is how long before the deadline KILL is sent at the latest: a third of the grace, but at least a tenth of a
// second, unless that is more than half of it.
func (t Times) Reserve() time.Duration {
	return min(max(t.Grace/3, 100*time.Millisecond), t.Grace/2)
}

// tick is how often deadlines are told and looked at.
func (t Times) tick() time.Duration {
	return min(max(t.Grace/10, 10*time.Millisecond), 200*time.Millisecond)
}

// Why says who made a program end.
type Why string

// Who makes programs end.
const (
	Itself   Why = "itself"   // it exited, or somebody killed it
	Asked    Why = "asked"    // Stop
	Expired  Why = "expired"  // its deadline came near, and nobody moved it
	Orphaned Why = "orphaned" // the supervisor is gone
	Unguard  Why = "unguard"  // the guard is gone, or does not answer
)

// Result is how a program ended. Nothing that it has started is alive by then.
type Result struct {
	Why      Why
	Code     int    // that it exited with, or 128 and the number of the signal that killed it; -1 if nobody knows
	Signal   int    // that killed it; 0 for none
	Leftover int    // processes that it had left behind when it ended, and that were ended
	Error    string // why it could not be started
	NotFound bool   // of that error: there is no such file
}

func (r Result) String() string {
	switch {
	case r.Error != "":
		return r.Error
	case r.Signal != 0:
		return fmt.Sprintf("killed by signal %d", r.Signal)
	case r.Code < 0:
		return "ended"
	}
	return fmt.Sprintf("exit code %d", r.Code)
}

// Report is news of a program.
type Report struct {
	Started int            // its process, and its process group
	Cgroup  string         // the directory of its cgroup, if it has one
	Paused  int            // the signal that has stopped it, for now
	Stuck   []int          // processes that do not go although they were killed
	Ended   *Result        // the last report
	Held    clock.Deadline // the deadline that the guard goes by, as it confirms
}

// order is what the supervisor tells the guard.
type order struct {
	Run      *Program
	Times    Times
	Deadline clock.Deadline
	Signal   int
	Stop     bool
}
