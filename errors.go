package locked

import (
	"errors"
	"fmt"
	"strings"

	"github.com/samcday/locked/internal/election"
)

// Errors that calls return, to be told apart with [errors.Is]. Errors of etcd and of contexts are wrapped and pass through.
var (
	// ErrNoLeader says that nobody is elected.
	ErrNoLeader = errors.New("locked: nobody is elected")
	// ErrStarted says that the node, or another one of the same path and id in this Locker, is running.
	ErrStarted = errors.New("locked: a node with this path and id is running already in this locker")
	// ErrInLead says that a function that [Node.Lead] runs would have waited for itself.
	ErrInLead = errors.New("locked: the function that Lead runs must return, and not wait for its own end")
	// ErrClosed says that the Locker was closed.
	ErrClosed = errors.New("locked: the locker is closed")
	// ErrWentBack says that etcd has gone back: it was restored to an earlier state without --bump-revision, or replaced by another
	// one. Its revisions come again, and so do tokens: a store that remembers the largest one refuses the leaders from now on, until
	// it is told to forget that. It is the cause of an [EventError], told once. Every term has ended, and candidates enter anew a
	// TTL later.
	ErrWentBack = errors.New("locked: etcd has gone back, as one does that was replaced, or restored without --bump-revision: " +
		"every term has ended, and tokens begin again below those that were: reset what remembers the largest")
	// ErrUnreachable says that etcd did not answer within the request timeout of the Locker.
	ErrUnreachable = errors.New("locked: no answer from etcd within the request timeout")
)

// Causes of the end of a term: [Event].Cause of a deselect.
var (
	// ErrExpired says that the lease could not be proven to be alive in time, as when etcd cannot be reached.
	ErrExpired = errors.New("locked: not renewed in time")
	// ErrTransferred says that leadership was handed over because somebody asked for it.
	ErrTransferred = errors.New("locked: leadership was transferred")
	// ErrStopped says that the node was stopped.
	ErrStopped = errors.New("locked: the node was stopped")
	// ErrRemoved says that the node's keys were deleted or overwritten, or its lease revoked, by somebody else, or that etcd has
	// gone back: see [ErrWentBack].
	ErrRemoved = errors.New("locked: the node's keys were removed or overwritten")
	// ErrUnhealthy says that the node's check failed.
	ErrUnhealthy = errors.New("locked: the node's check failed")
)

var causes = map[election.Cause]error{
	election.Lapsed:      ErrExpired,
	election.Transferred: ErrTransferred,
	election.Stopped:     ErrStopped,
	election.Removed:     ErrRemoved,
	election.Unhealthy:   ErrUnhealthy,
}

var causeNames = map[error]string{
	ErrExpired: "expired", ErrTransferred: "transferred", ErrStopped: "stopped", ErrRemoved: "removed", ErrUnhealthy: "unhealthy",
}

// CauseName is the word for the end of a term, as metrics, the agent and the command have it: expired, transferred, stopped,
// removed or unhealthy; empty for an error that ends none.
func CauseName(cause error) string {
	for err, name := range causeNames {
		if errors.Is(cause, err) {
			return name
		}
	}
	return ""
}

// failure says what failed, and why: the errors that it wraps pass through, and "locked:" stands in front once.
func failure(err error, format string, args ...any) error {
	return &failed{fmt.Sprintf(format, args...), err}
}

type failed struct {
	what string
	err  error
}

func (e *failed) Error() string {
	return "locked: " + e.what + ": " + strings.TrimPrefix(e.err.Error(), "locked: ")
}

func (e *failed) Unwrap() error { return e.err }

// A ConfigError refuses a setting: it names the field, the value and what is allowed.
type ConfigError struct {
	Field string // as in the Go API, such as "TTL"
	Value string
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("locked: %s %s: %s", e.Field, e.Value, e.Want)
}
