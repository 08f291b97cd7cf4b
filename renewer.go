package locked

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// renewer keeps one lease alive over a stream of its own, with one request in flight: replies carry no number by which a
// late one could be told from the one that is waited for.
type renewer struct {
	l      *Locker
	id     int64
	ttl    time.Duration
	stream etcdserverpb.Lease_LeaseKeepAliveClient
	life   context.Context // of the stream
	cancel context.CancelFunc
}

// renewal is what came of one attempt. An acknowledgement alone proves nothing: see proof.go.
type renewal struct {
	sent    time.Duration // reading of the clock before the request was sent
	took    time.Duration // for the acknowledgement
	ttl     time.Duration // 0 if etcd does not know the lease, or its leader does not yet
	acked   uint64        // raft term of the acknowledgement
	err     error
	limit   time.Time   // up to which it may be proven
	verdict func(error) // is told whether it was: answers the renewer once
}

// run renews until ctx ends: at a first reading of the clock, then at each beat, a period apart, and quickly again after a
// failure. It renews only when the loop has taken the result of the attempt before and told whether that was proven: so no
// lease outlives the loop.
func (r *renewer) run(ctx context.Context, next, beat time.Duration, take func(renewal)) {
	defer r.drop()
	for failures := 0; ; {
		if pause(ctx, next-r.l.clock.Now()); ctx.Err() != nil {
			return
		}
		verdict := make(chan error, 1)
		res := r.renew(ctx)
		res.verdict = func(err error) { verdict <- err }
		take(res)
		select {
		case err := <-verdict:
			if err != nil {
				r.drop() // the next attempt may reach another member
				failures++
				next = r.l.clock.Now() + delay(failures, r.ttl/20)
				continue
			}
		case <-ctx.Done():
			return
		}
		failures = 0
		for now := r.l.clock.Now(); beat <= now; {
			beat += election.Period(r.ttl)
		}
		next = beat
	}
}

// patience is how long one attempt to get or renew a lease may take: short enough that a connection gone silent costs an
// attempt and not the lease.
func (l *Locker) patience(ttl time.Duration) time.Duration {
	return min(l.timeout, max(ttl/5, 300*time.Millisecond))
}

// renew asks for one renewal.
func (r *renewer) renew(ctx context.Context) (res renewal) {
	patience := r.l.patience(r.ttl)
	res.limit = time.Now().Add(patience)
	if r.stream == nil {
		r.life, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	alarm := time.AfterFunc(patience, r.cancel)
	defer alarm.Stop()
	res.sent = r.l.clock.Now()
	reply, err := r.exchange()
	if err != nil {
		r.drop()
		res.err = err
		return res
	}
	res.took = r.l.clock.Now() - res.sent
	res.ttl, res.acked = time.Duration(reply.TTL)*time.Second, reply.Header.RaftTerm
	return res
}

func (r *renewer) exchange() (reply *etcdserverpb.LeaseKeepAliveResponse, err error) {
	if r.stream == nil {
		if r.stream, err = r.l.etcd.Leases.LeaseKeepAlive(r.life); err != nil {
			return nil, err
		}
	}
	if err = r.stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: r.id}); err != nil {
		return nil, err
	}
	return r.stream.Recv()
}

// drop ends the stream, and with it any late reply on it.
func (r *renewer) drop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.stream, r.cancel = nil, nil
}
