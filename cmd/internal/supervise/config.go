package supervise

import (
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/samcday/locked"
)

// Config says what to run, and when.
type Config struct {
	Locker *locked.Locker
	Path   string
	Node   locked.NodeConfig // with its TTL and Grace filled in

	Program string   // file of the program
	Args    []string // its arguments, with its name
	Env     []string // its environment, without what tells of the term
	Guard   []string // command that makes this binary a guard

	Wait    time.Duration // how long to wait to be elected; 0 for ever
	Try     bool          // do not wait for anybody else's term to end
	Restart bool          // compete again when the program has ended, or was ended
	Value   Source        // that the value follows; nil for one that stays
	Check   string        // shell command that tells whether the node is fit
	Notify  bool          // tell systemd
	Log     *slog.Logger

	Diagnose func() string // why etcd does not answer; nil if that is not to be found out
}

// Notice is the level of what everybody is told who runs a program, though nothing is wrong.
const Notice = slog.LevelInfo + 2

// Errors of [Run].
var (
	// ErrNotInTime says that somebody else is elected, or that the time to wait is over.
	ErrNotInTime = errors.New("not elected in time")
	// ErrLost says that leadership was lost, and the program ended for it.
	ErrLost = errors.New("leadership was lost")
	// ErrNoGuard says that the program was not started, since nobody could have watched over it.
	ErrNoGuard = errors.New("the guard of the program cannot be started")
)

// Interrupted is the error of a run that was asked to end before the program ran.
type Interrupted struct{ Signal os.Signal }

func (i Interrupted) Error() string { return "interrupted: " + i.Signal.String() }

// Variables are the names of those that tell a program of its term. A program does not inherit them from ours.
var Variables = []string{"LOCKED_PATH", "LOCKED_ID", "LOCKED_VALUE", "LOCKED_TOKEN", "LOCKED_TTL"}

// Environment gives the environment without variables of those names.
func Environment(env []string, without ...string) []string {
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		keep := true
		for _, w := range without {
			keep = keep && name != w
		}
		if keep {
			out = append(out, v)
		}
	}
	return out
}

// maxVariable is the longest value that is put into an environment, which the kernel bounds.
const maxVariable = 100 << 10

// Describe gives the variables that tell of a term. A value that cannot stand in an environment is left out.
func Describe(path, id, value string, token int64, ttl time.Duration) []string {
	env := []string{"LOCKED_PATH=" + path, "LOCKED_ID=" + id}
	if token != 0 {
		env = append(env, "LOCKED_TOKEN="+strconv.FormatInt(token, 10))
	}
	if ttl != 0 {
		env = append(env, "LOCKED_TTL="+strconv.FormatInt(int64((ttl+time.Second-1)/time.Second), 10)) // as the library rounds
	}
	if len(value) <= maxVariable && !strings.Contains(value, "\x00") {
		env = append(env, "LOCKED_VALUE="+value)
	}
	return env
}
