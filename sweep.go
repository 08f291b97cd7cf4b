package locked

import (
	"context"

	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
)

// The sweep removes what requests have left behind that were given up and committed after all, on a lease that other
// nodes keep alive. It looks at the keys on each lease once a TTL.

// sweepAfter lists the keys on a lease, after every second renewal. It renews nothing and is waited for by nobody, so that a
// listing that is not answered costs no leadership; there is one at a time, and what was not listed now is the next time.
func (g *leaseGroup) sweepAfter(le *election.Lease) {
	if g.proven[le.ID]++; g.proven[le.ID]%2 != 0 || g.listing {
		return
	}
	g.listing = true
	g.l.leases.Keys(le.ID, func(keys []string, err error) {
		g.listing = false
		if err == nil {
			g.look(le.ID, keys)
		}
	})
}

// look takes the names of the keys on a lease. Nonces are looked up now, after the listing was answered: one that nobody
// owns by now never will be owned.
func (g *leaseGroup) look(lease int64, keys []string) {
	suspects := map[string]bool{}
	for _, key := range keys {
		path, part, nonce := election.ParseKey(key)
		if part == election.PartPath && !g.l.accounts(path) || nonce != "" && !g.l.owns(path, nonce) {
			suspects[path] = true
		}
	}
	for path := range suspects {
		g.l.log.Info("keys that nobody owns", "path", path, "lease", lease)
		g.l.spawn(func() { g.l.sweep(g.l.ctx, path, lease) })
	}
}

// accounts reports whether a node here may have put PATH.
func (l *Locker) accounts(path string) bool {
	st := l.states[path]
	if st == nil {
		return false
	}
	for _, n := range st.nodes {
		if n.candidate.Place() == election.Elected || n.candidate.Busy() {
			return true
		}
	}
	return false
}

// owns reports whether a node here has a use for the nonce.
func (l *Locker) owns(path, nonce string) bool {
	if st := l.states[path]; st != nil {
		for _, n := range st.nodes {
			if n.candidate.Owns(nonce) {
				return true
			}
		}
	}
	return false
}

// sweep reads an election and removes what nobody owns on the lease. What cannot be removed now is found again by the
// next sweep.
func (l *Locker) sweep(ctx context.Context, path string, lease int64) {
	r := l.etcd.Commit(ctx, election.Txn{Then: election.ReadAll(path)})
	if r.Err != nil {
		l.log.Debug("election not read", "path", path, "error", r.Err)
		return
	}
	for _, gap := range []bool{false, true} {
		txns := make(chan []election.Txn, 1)
		l.post(func() { txns <- l.leftovers(path, lease, r.Seen, gap) })
		denied := false
		select {
		case list := <-txns:
			for _, txn := range list {
				r := l.etcd.Commit(ctx, txn)
				denied = denied || etcd.Final(r.Err)
				l.log.Info("swept", "path", path, "lease", lease, "done", r.Succeeded, "error", r.Err)
			}
		case <-ctx.Done():
		}
		if !denied {
			return
		}
	}
}

func (l *Locker) leftovers(path string, lease int64, seen *etcd.Snapshot, gap bool) []election.Txn {
	var view election.View
	view.Reset(path, seen.Revision, seen.Changes)
	busy := false
	if st := l.states[path]; st != nil {
		for _, n := range st.nodes {
			busy = busy || n.candidate.Busy() || n.candidate.Unaware(&st.view, view.Path.Mod)
		}
	}
	return election.Sweep(path, &view, lease, func(nonce string) bool { return l.owns(path, nonce) }, busy, gap)
}
