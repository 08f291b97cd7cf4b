package etcd

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
)

// Renewal is what came of one attempt. An acknowledgement alone proves nothing: see proof.go.
type Renewal struct {
	Sent     time.Duration // reading of the clock before the request was sent
	Took     time.Duration // for the acknowledgement
	TTL      time.Duration // 0 if etcd does not know the lease, or its leader does not yet
	RaftTerm uint64        // of the acknowledgement
	Err      error
	Verdict  func(error) // is told whether it was proven: answers the renewer once

	limit time.Time // up to which it may be proven
}

// Renew keeps a lease alive until ctx ends, and posts what comes of each attempt: the first is made at once unless the lease
// was just granted, the next at each beat, a period apart, and quickly again after a failure. It renews only when the result of
// the attempt before was taken and the verdict told: so no lease outlives the host.
func (l *Leases) Renew(ctx context.Context, lease int64, ttl time.Duration, granted bool, take func(Renewal)) {
	first := l.host.Clock.Now()
	beat := l.nextBeat(first, ttl)
	if granted {
		first = beat
	}
	r := renewer{l: l, id: lease, ttl: ttl}
	l.host.Spawn(func() { r.run(ctx, first, beat, func(res Renewal) { l.host.Post(func() { take(res) }) }) })
}

// nextBeat is when leases with a TTL are renewed next.
func (l *Leases) nextBeat(now, ttl time.Duration) time.Duration {
	first, ok := l.beats[ttl]
	if !ok {
		first = now
		l.beats[ttl] = first
	}
	return now + election.Period(ttl) - (now-first)%election.Period(ttl)
}

// renewer keeps one lease alive over a stream of its own, with one request in flight: replies carry no number by which a
// late one could be told from the one that is waited for.
type renewer struct {
	l      *Leases
	id     int64
	ttl    time.Duration
	stream etcdserverpb.Lease_LeaseKeepAliveClient
	life   context.Context // of the stream
	cancel context.CancelFunc
}

// run renews until ctx ends: at a first reading of the clock, then at each beat.
func (r *renewer) run(ctx context.Context, next, beat time.Duration, take func(Renewal)) {
	defer r.drop()
	now := r.l.host.Clock.Now
	for failures := 0; ; {
		if clock.Pause(ctx, next-now()); ctx.Err() != nil {
			return
		}
		verdict := make(chan error, 1)
		res := r.renew(ctx)
		res.Verdict = func(err error) { verdict <- err }
		take(res)
		select {
		case err := <-verdict:
			if err != nil {
				r.drop() // the next attempt may reach another member
				failures++
				next = now() + clock.Backoff(failures, r.ttl/20)
				continue
			}
		case <-ctx.Done():
			return
		}
		failures = 0
		for now := now(); beat <= now; {
			beat += election.Period(r.ttl)
		}
		next = beat
	}
}

// renew asks for one renewal.
func (r *renewer) renew(ctx context.Context) (res Renewal) {
	patience := r.l.patience(r.ttl)
	res.limit = time.Now().Add(patience)
	if r.stream == nil {
		r.life, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	alarm := time.AfterFunc(patience, r.cancel)
	defer alarm.Stop()
	res.Sent = r.l.host.Clock.Now()
	reply, err := r.exchange()
	if err != nil {
		r.drop()
		res.Err = err
		return res
	}
	res.Took = r.l.host.Clock.Now() - res.Sent
	res.TTL, res.RaftTerm = time.Duration(reply.TTL)*time.Second, reply.Header.RaftTerm
	return res
}

func (r *renewer) exchange() (reply *etcdserverpb.LeaseKeepAliveResponse, err error) {
	if r.stream == nil {
		if r.stream, err = r.l.conn.leases.LeaseKeepAlive(r.life); err != nil {
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
