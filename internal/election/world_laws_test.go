package election

import (
	"fmt"
	"slices"
)

// violation is what a broken law panics with.
type violation struct{ text string }

func (w *world) fail(format string, args ...any) {
	panic(violation{fmt.Sprintf(format, args...)})
}

// check looks at everybody's belief.
func (w *world) check() {
	var believer *proc
	for _, p := range w.procs {
		if !p.alive || !p.believing {
			continue
		}
		if !p.leads() {
			p.lapsed = p.token
			continue
		}
		if p.lapsed == p.token {
			w.fail("law 2: %s believes in term %d again", p.seed, p.token)
		}
		if other := believer; other != nil && !(other.stale && p.unaware) && !(p.stale && other.unaware) {
			w.fail("law 2: %s and %s both lead", other.seed, p.seed)
		}
		believer = p
		if !p.stale && !slices.Contains(w.byHand, p.token) && w.term().Create != p.token {
			w.fail("law 2: %s believes in term %d, which does not stand any more", p.seed, p.token)
		}
	}
}

// leads is what IsSelected would answer.
func (p *proc) leads() bool {
	_, ok := p.cand.Leading()
	return ok && p.w.now < p.cand.Until(&p.hold)
}

// endings are the transactions by which a term is given up.
var endings = []Kind{HandOver, Resign, NewTerm, Drop, Clear, Repair}

func (p *proc) checkAsk(f *flight) {
	w := p.w
	if p.flight != nil {
		w.fail("one at a time: %s asks for a %s while a %s is under way", p.seed, f.kind, p.flight.kind)
	}
	if p.working && !p.overdue && slices.Contains(endings, f.kind) {
		w.fail("law 7: %s asks for a %s while it works", p.seed, f.kind)
	}
	if p.believing && slices.Contains(endings, f.kind) {
		w.fail("law 9: %s asks for a %s without a deselect", p.seed, f.kind)
	}
	if id, ok := p.cand.request(&p.view); f.kind == Refuse && ok && p.waits(id) {
		w.fail("section 4: %s refuses to hand over to %q, who waits", p.seed, id)
	}
	if p.overdue && slices.Contains([]Kind{Entry, Claim, NewTerm, Repair}, f.kind) {
		w.fail("law 7: %s asks for a %s while old work goes on that nobody waits for", p.seed, f.kind)
	}
	p.checkPuts(f.kind, f.txn)
}

// waits reports whether the process knows of somebody to hand over to.
func (p *proc) waits(id string) bool {
	return id == "" && len(p.view.Queue) > 0 || p.view.WaitingID(id).Exists()
}

// checkPuts looks at the keys that a transaction puts: nonces are registered before, and never taken up again. (Whom a
// handover elects may well be a key that a late transaction of the leader itself has left behind.)
func (p *proc) checkPuts(kind Kind, txn Txn) {
	for _, op := range append(slices.Clone(txn.Then), txn.Else...) {
		if op.Kind == Nested {
			p.checkPuts(kind, *op.Txn)
		}
		_, part, nonce := ParseKey(op.Key)
		if op.Kind != Put || owner(nonce) != p.seed || kind == HandOver && part == PartTerm {
			continue
		}
		if !p.cand.Owns(nonce) || slices.Contains(p.given, nonce) {
			p.w.fail("law 11: %s puts the nonce %s, which it has given up", p.seed, nonce)
		}
		if !p.cand.Names(op.Lease) {
			p.w.fail("section 4: %s puts %s on lease %d without naming it", p.seed, op.Key, op.Lease)
		}
		if !slices.Contains(p.nonces, nonce) {
			p.nonces = append(p.nonces, nonce)
		}
	}
}

// checkNonces notes what the candidate has given up.
func (p *proc) checkNonces() {
	for i, nonce := range p.nonces {
		if !p.cand.Owns(nonce) {
			p.given = append(p.given, nonce)
			p.nonces = append(p.nonces[:i:i], p.nonces[i+1:]...)
			p.checkNonces()
			return
		}
	}
}

func (p *proc) checkSelect(a Action) {
	w := p.w
	key, _ := p.cand.Leading()
	switch {
	case p.believing:
		w.fail("law 9: %s is selected twice", p.seed)
	case p.working:
		w.fail("law 7: %s is selected while it still works", p.seed)
	case !p.wants:
		w.fail("law 12: %s is selected and does not want it", p.seed)
	case a.Token <= w.selected && !p.stale:
		w.fail("law 3: %s is selected with %d after %d", p.seed, a.Token, w.selected)
	case key.Create != a.Token || owner(key.Nonce) != p.seed || !w.committed(key):
		w.fail("law 12: %s is selected with %d for a term that was never its own", p.seed, a.Token)
	}
}

// committed reports whether etcd ever held the term key.
func (w *world) committed(key Key) bool {
	name := TermPrefix(path) + key.Nonce
	put := func(s store) bool { return s.past(name, key.Create).Create == key.Create }
	return put(w.etcd) || slices.ContainsFunc(w.gone, put)
}

// past is a key as it was at a revision.
func (s *store) past(name string, revision int64) (key Key) {
	for _, c := range s.log {
		for _, change := range c.changes {
			if c.rev > revision {
				return key
			}
			if change.Name != name {
				continue
			}
			key = change.Key
			if change.Deletion {
				key = Key{}
			}
		}
	}
	return key
}

func (p *proc) checkDeselect(a Action) {
	w := p.w
	term, intact := w.intact()
	switch {
	case !p.believing:
		w.fail("law 9: %s is deselected twice", p.seed)
	case a.Token != p.token || a.Cause == None:
		w.fail("law 9: %s is deselected from %d for cause %d, not from %d", p.seed, a.Token, a.Cause, p.token)
	case a.Cause == Removed && !p.stale && intact && term.Create == p.token:
		w.fail("law 9: %s is told that its keys were removed, but they stand", p.seed)
	case a.Cause == Lapsed && p.leads():
		w.fail("law 9: %s is told that it was not renewed in time, but it was", p.seed)
	case a.Cause == Stopped && p.wants:
		w.fail("law 9: %s is told that it was stopped, but it was not", p.seed)
	}
}

// checkForeign asks whether there ever was what the user is told of: PATH without a term that it belongs to.
func (p *proc) checkForeign() {
	v := &p.view
	if at := max(v.PathRevision, v.TermRevision); !p.stale && p.w.etcd.past(path, at).Mod != v.Path.Mod || v.Path.Mod == v.Term.Mod {
		p.w.fail("law 9: %s tells of a stranger at PATH, but there was none at %d", p.seed, at)
	}
}
