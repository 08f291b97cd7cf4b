package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
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

// contextError is clientv3.ContextError, but for an error of a request that has waited for a connection in vain: that says why
// there was none, where etcd's own client says "context deadline exceeded" alone.
func contextError(ctx context.Context, err error) error {
	cause := clientv3.ContextError(ctx, err)
	if why := unconnected(err); why != "" && ctx.Err() != nil {
		return &reason{why, cause}
	}
	return cause
}

// reason is an error whose text is clearer than its own.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }

func (r *reason) Unwrap() error { return r.err }

// unconnected is why gRPC has no connection, as it tells in the description of an error; empty if that is not what the error is
// about. It may stand in quotes there, within others.
func unconnected(err error) string {
	if err == nil {
		return ""
	}
	_, why, found := strings.Cut(err.Error(), "transport: ")
	if !found {
		return ""
	}
	why = strings.TrimPrefix(why, "Error while dialing: ")
	return strings.Trim(strings.ReplaceAll(why, `\"`, `"`), `"\`)
}

// Cause is why a request failed, in words that are the same for each request that fails for it.
func Cause(err error) string {
	if why := unconnected(err); why != "" {
		return why
	}
	// A request that waits longer than the keepalive of its connection hears of that.
	if errors.Is(err, context.DeadlineExceeded) || status.Code(Plain(err)) == codes.DeadlineExceeded ||
		strings.Contains(err.Error(), "keepalive ping failed") {
		return "no answer"
	}
	return rpctypes.Error(err).Error()
}

// Explain says what failed, and what to do about it where that is known.
func (c *Conn) Explain(path, request string, err error) error {
	err = rpctypes.Error(err)
	if why := unconnected(err); why != "" {
		err = &reason{why, err}
	}
	hint := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded), status.Code(Plain(err)) == codes.DeadlineExceeded, status.Code(Plain(err)) == codes.Unavailable:
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
