package election

// What somebody does by hand, or a program that knows nothing of the protocol. Taking away both PATH and the term key of
// one term is not safe, and said so: it does not happen here.

func (w *world) byAnyone(what string, ops ...Op) bool {
	w.logf("by hand: %s", what)
	before := w.etcd.keys
	if _, err := w.etcd.txn(Txn{Then: ops}); err != nil {
		panic(err)
	}
	w.judge(before, nil)
	return true
}

// intact reports whether there is a term, and whether PATH is as its leader left it.
func (w *world) intact() (term Key, intact bool) {
	term = first(terms(w.etcd.keys))
	return term, term.Exists() && w.etcd.get(path).Mod == term.Mod
}

// hand deletes PATH or the term key.
func (w *world) hand() bool {
	term, ok := w.intact()
	if !ok {
		return false
	}
	if w.luck.pick(2) == 0 {
		w.mirror = ""
		return w.byAnyone("delete PATH", del(path))
	}
	w.byHand = append(w.byHand, term.Create)
	return w.byAnyone("delete the term key", del(TermPrefix(path)+term.Nonce))
}

// stranger puts PATH, or deletes what it has put.
func (w *world) stranger() bool {
	held := w.etcd.get(path)
	term, ok := w.intact()
	switch {
	case held.Exists() && held.Lease == 0:
		return w.byAnyone("delete the stranger's PATH", del(path))
	case ok || !held.Exists() && !term.Exists():
		w.mirror = ""
		return w.byAnyone("a stranger puts PATH", put(path, "stranger", 0))
	}
	return false
}

// transfer asks the leader to hand over, as a caller of Transfer does: it reads, and then it asks.
func (w *world) transfer() bool {
	if w.wish == nil {
		s := w.snapshot()
		if w.wish = &s; w.slow() {
			return true
		}
	}
	var v View
	v.Reset(path, w.wish.rev, w.wish.changes)
	w.wish = nil
	i := w.luck.pick(len(w.procs) + 2)
	id := append(w.ids(), "", "nobody")[i]
	txn, ok := RequestTransfer(path, &v, id, w.newLease())
	if !ok || !v.Term.Exists() {
		return false
	}
	w.logf("transfer of term %d to %q", v.Term.Create, id)
	w.requests = append(w.requests, TransferData(v.Term.Create, id))
	f := &flight{txn: txn, seed: "somebody", sweep: true, sent: w.backs}
	if w.may(late) && w.luck.chance(4) {
		w.late = append(w.late, f)
		return true
	}
	w.apply(f)
	return true
}

func (w *world) ids() (out []string) {
	for _, p := range w.procs {
		out = append(out, p.id)
	}
	return out
}
