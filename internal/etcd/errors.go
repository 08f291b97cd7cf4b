package etcd

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked/internal/election"
)

// Outcome tells from an error whether a transaction may have been done. Only what etcd refused before proposing it, or
// while applying it, was certainly not done; of a time-out or a broken connection nothing is known.
func Outcome(err error) election.Result {
	switch {
	case err == nil:
		return election.Committed
	case Gone(err), passing(err):
		return election.Unknown // it was not done, but it is as well to read before it is repeated
	}
	switch status.Code(Plain(err)) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.NotFound:
		return election.Denied
	}
	return election.Unknown
}

// Gone reports whether an error says that a lease does not exist any more.
func Gone(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// passing reports whether an error is a refusal that goes away by itself.
func passing(err error) bool {
	return errors.Is(err, rpctypes.ErrAuthOldRevision) || errors.Is(err, rpctypes.ErrTooManyRequests) ||
		errors.Is(err, rpctypes.ErrInvalidAuthToken)
}

// Final reports whether an error will not go away by itself soon.
func Final(err error) bool { return Outcome(err) == election.Denied }

// Explain says what failed, and what to do about it where that is known.
func (c *Conn) Explain(path, request string, err error) error {
	err = rpctypes.Error(err)
	hint := ""
	switch {
	case Unanswered(err), status.Code(Plain(err)) == codes.Unavailable:
		hint = " (" + c.Endpoints() + ")"
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		hint = fmt.Sprintf(": the etcd user needs a role with readwrite permission on the key %q and on the prefix %q", path, election.Prefix(path))
	case errors.Is(err, rpctypes.ErrUserEmpty):
		hint = ": etcd asks for a user and a password"
	case errors.Is(err, rpctypes.ErrNoSpace):
		hint = ": etcd is out of space; compact and defragment it, then disarm the NOSPACE alarm"
	}
	return fmt.Errorf("%s %s: %w%s", request, path, err, hint)
}

// Endpoints names those that the client was given.
func (c *Conn) Endpoints() string { return "endpoints: " + strings.Join(c.client.Endpoints(), ", ") }

// Plain turns etcd's own kind of error back into the one that gRPC knows.
func Plain(err error) error {
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return status.Error(etcd.Code(), etcd.Error())
	}
	return err
}
