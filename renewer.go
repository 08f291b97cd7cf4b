package locked

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
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

// renewal is what came of one attempt.
type renewal struct {
	sent            time.Duration // reading of the clock before the request was sent
	took, tookRead  time.Duration // for the acknowledgement, and for the read after it
	ttl             time.Duration // 0 if etcd does not know the lease
	acked, verified uint64        // raft terms of the acknowledgement and of the read after it
	err             error
}

// period is how often a lease is renewed, and everything else that must happen every half TTL: a little more often than
// that, so that it is never late.
func period(ttl time.Duration) time.Duration { return ttl * 45 / 100 }

// run renews until ctx ends, and quickly again after a failure. Once a TTL it lists the keys on the lease.
func (r *renewer) run(ctx context.Context, fresh bool, done func(renewal), listed func(keys []string)) {
	defer r.drop()
	wait := time.Duration(0)
	if fresh {
		wait = period(r.ttl)
	}
	failures, audits := 0, 0
	for {
		if pause(ctx, wait); ctx.Err() != nil {
			return
		}
		res := r.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		done(res)
		if res.err != nil {
			failures++
			wait = delay(failures, r.ttl/20)
			continue
		}
		if res.ttl <= 0 {
			return
		}
		failures, wait = 0, period(r.ttl)
		if audits++; audits%2 == 0 {
			if keys, err := r.list(ctx); err == nil {
				listed(keys)
			}
		}
	}
}

// patience is how long one attempt to get or renew a lease may take: short enough that a connection gone silent costs an
// attempt and not the lease.
func (l *Locker) patience(ttl time.Duration) time.Duration {
	return min(l.timeout, max(ttl/5, 300*time.Millisecond))
}

// renew makes one attempt: a renewal, and the read that proves it.
func (r *renewer) renew(ctx context.Context) (res renewal) {
	deadline := time.Now().Add(r.l.patience(r.ttl))
	if r.stream == nil {
		r.life, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	alarm := time.AfterFunc(time.Until(deadline), r.cancel)
	defer alarm.Stop()
	res.sent = r.l.clock.Now()
	reply, err := r.exchange()
	if err != nil {
		r.drop()
		res.err = err
		return res
	}
	answered := r.l.clock.Now()
	res.took = answered - res.sent
	res.ttl, res.acked = time.Duration(reply.TTL)*time.Second, reply.Header.RaftTerm
	if res.ttl <= 0 {
		return res
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	res.verified, res.err = r.l.linearizable(ctx)
	res.tookRead = r.l.clock.Now() - answered
	if res.err == nil && res.verified != res.acked {
		res.err = errUnproven // it is worth another try at once
	}
	return res
}

func (r *renewer) exchange() (reply *etcdserverpb.LeaseKeepAliveResponse, err error) {
	if r.stream == nil {
		if r.stream, err = r.l.leases.LeaseKeepAlive(r.life); err != nil {
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

// list gives the names of the keys on the lease.
func (r *renewer) list(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.l.timeout)
	defer cancel()
	resp, err := r.l.client.TimeToLive(ctx, clientv3.LeaseID(r.id), clientv3.WithAttachedKeys())
	if err != nil {
		return nil, fmt.Errorf("listing the keys on lease %x: %w", r.id, err)
	}
	keys := make([]string, len(resp.Keys))
	for i, k := range resp.Keys {
		keys[i] = string(k)
	}
	return keys, nil
}
