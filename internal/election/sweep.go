package election

// Sweep gives the transactions that remove what transactions that were given up have left behind at one election: a
// request whose answer was lost can commit long after its node was stopped, on a lease that other nodes keep alive.
//
// The view must be exact and read after the lease's keys were listed. Owned tells whether anybody here has a use for a
// nonce, or may have one: nonces are registered before they are sent and never taken up again once they were given up,
// so a key on our lease that nobody owns now never will be owned. Busy says that a candidate of this election here leads,
// asks or reads, so that a PATH without a term may be about to be repaired; or that one may have been elected as PATH was put,
// and not know it yet, nor that the term has ended: it would believe in it while somebody else enters.
//
// With gap, a term that nobody owns is ended without a successor: for when the successor's lease must not be used.
func Sweep(path string, v *View, lease int64, owned func(nonce string) bool, busy, gap bool) []Txn {
	var out []Txn
	orphan := func(k Key) bool { return k.Exists() && k.Lease == lease && !owned(k.Nonce) }

	var successor Key
	for _, k := range v.Queue {
		if orphan(k) {
			c := Candidate{path: path, key: k}
			out = append(out, c.leaveTxn())
		} else if !successor.Exists() {
			successor = k
		}
	}

	c := Candidate{path: path, key: v.Term, pathMod: v.Path.Mod}
	switch {
	case orphan(v.Term) && v.Path.Exists() && v.Path.Mod != v.Term.Mod:
		out = append(out, c.dropTxn())
	case orphan(v.Term) && successor.Exists() && !gap:
		out = append(out, c.handOverTxn(successor, 0))
	case orphan(v.Term):
		out = append(out, c.resignTxn(gap))
	case !v.Term.Exists() && v.Path.Exists() && v.Path.Lease == lease && !busy:
		out = append(out, c.clearTxn())
	}
	return out
}
