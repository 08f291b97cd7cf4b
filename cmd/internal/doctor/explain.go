package doctor

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/trouble"
	"github.com/samcday/locked/internal/etcd"
)

// Problem is an error that was explained.
type Problem struct {
	Kind Kind
	err  error
}

func (p *Problem) Error() string { return p.err.Error() }
func (p *Problem) Unwrap() error { return p.err }

// Kind is what sort of problem it is.
type Kind int

// The kinds of problems.
const (
	Unreachable Kind = iota // etcd cannot be reached, or not what answers there, or not in time
	Refused                 // etcd refuses who asks
	Unfit                   // what is asked for cannot work
)

// The flags that a remedy names, and the variables that stand for them.
const (
	endpointsFlag = "--endpoints or LOCKED_ENDPOINTS"
	userFlag      = "--user or LOCKED_USER"
)

// Explain says what to do about an error of the library: that is a [Problem] then. Others pass through.
func (e Etcd) Explain(err error) error {
	var config *locked.ConfigError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, locked.ErrNoLeader), errors.As(err, &config):
		return err
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return &Problem{Refused, fmt.Errorf("etcd does not know that user and password: check --user, --password and LOCKED_PASSWORD")}
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return &Problem{Refused, fmt.Errorf("etcd asks for a user: give %s", userFlag)}
	case errors.Is(err, rpctypes.ErrNoSpace), errors.Is(err, rpctypes.ErrCorrupt):
		return err
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return &Problem{Unfit, fmt.Errorf("%w: give a shorter value, or etcd a larger --max-request-bytes", err)}
	case errors.Is(err, errLearner):
		return &Problem{Unreachable, fmt.Errorf("%w: an endpoint is a member that does not vote yet: take it out of %s, or promote it",
			err, endpointsFlag)}
	case etcd.Gone(err):
		return &Problem{Unreachable, fmt.Errorf("%w: it ended before it was used, as etcd or this machine is slow, or somebody has "+
			"revoked it: try again, with a longer --ttl if it comes again", err)}
	case trouble.Forbidden(err):
		return &Problem{Refused, err}
	case trouble.Refused(err):
		return err
	}
	what := fmt.Sprintf("etcd did not answer within %v", e.Timeout)
	if said, ok := trouble.Answer(err); ok {
		what = "etcd answered " + said
	}
	return &Problem{Unreachable, fmt.Errorf("%s: %s: check %s", what, e.Diagnose(), endpointsFlag)}
}

// errLearner is what a member answers that is none of the voters.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)
