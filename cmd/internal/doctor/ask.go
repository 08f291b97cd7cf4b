package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/cmd/internal/trouble"
)

// reply is what came of asking one member of etcd how it stands.
type reply struct {
	status *clientv3.StatusResponse // nil if it did not say
	took   time.Duration
	secret bool // it answers, and tells root alone

	problem string // why it did not say
	remedy  string // what mends that, if it is known
	answers bool   // the problem is an answer of etcd's
}

// ask asks one member of etcd how it stands.
func (x *Examination) ask(ctx context.Context, endpoint string) reply {
	limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	conn, err := dial(limited, endpoint)
	if err != nil {
		return reply{problem: short(err)} // etcd's client would go on trying
	}
	_ = conn.Close()
	began := time.Now()
	s, err := x.Client.Status(limited, endpoint)
	took := time.Since(began)
	said, answers := trouble.Answer(err)
	switch {
	case err == nil:
		return reply{status: s, took: took}
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return reply{took: took, secret: true}
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return reply{problem: "it asks for a user", remedy: "give " + userFlag, answers: true}
	case answers:
		return reply{problem: "it answers " + said, remedy: "see its log", answers: true}
	}
	problem, remedy := x.Etcd.probe(ctx, endpoint)
	return reply{problem: problem, remedy: remedy}
}

// answer says how quickly a member has answered.
func (s reply) answer() string {
	text := fmt.Sprintf("answers in %v", round(s.took))
	if s.secret {
		text += ", and tells root alone how it stands"
	}
	return text
}
