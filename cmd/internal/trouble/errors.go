package trouble

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/etcd"
)

// Unreached reports whether an error says that etcd did not answer, or has no majority.
func Unreached(err error) bool {
	if errors.Is(err, locked.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(etcd.Plain(err)) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return false
}

// Answer quotes etcd, if it was etcd that answered with the error, be it that it has no majority.
func Answer(err error) (said string, ok bool) {
	var answer rpctypes.EtcdError
	ok = errors.As(err, &answer)
	return strconv.Quote(strings.TrimPrefix(answer.Error(), "etcdserver: ")), ok
}

// answered reports whether etcd has answered with that, with a majority.
func answered(err error) bool {
	_, ok := Answer(err)
	return err == nil || errors.Is(err, locked.ErrNoLeader) || ok && !Unreached(err)
}

// Refused reports whether etcd has answered with the error, and will again.
func Refused(err error) bool {
	_, ok := Answer(err)
	return ok && !Unreached(err) && !errors.Is(err, rpctypes.ErrTooManyRequests)
}

// Forbidden reports whether etcd has refused who asks, and not what.
func Forbidden(err error) bool {
	if _, ok := Answer(err); !ok {
		return false
	}
	for _, who := range []error{rpctypes.ErrAuthNotEnabled, rpctypes.ErrInvalidAuthMgmt, rpctypes.ErrUserNotFound, rpctypes.ErrRoleNotGranted} {
		if errors.Is(err, who) {
			return true
		}
	}
	code := status.Code(etcd.Plain(err))
	return code == codes.PermissionDenied || code == codes.Unauthenticated
}

// Passing reports whether a candidacy that has failed for an error may be repeated later: etcd was away, or has to be mended, or has
// lost the lease.
func Passing(err error) bool {
	return errors.Is(err, locked.ErrUnreachable) || errors.Is(err, rpctypes.ErrNoSpace) || etcd.Gone(err)
}
