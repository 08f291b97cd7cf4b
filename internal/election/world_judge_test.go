package election

import (
	"slices"
	"strings"
)

func keysBelow(keys []kv, prefix string) []Key {
	var out []Key
	for _, k := range matching(keys, prefix, true) {
		k.key.Nonce = strings.TrimPrefix(k.name, prefix)
		out = append(out, k.key)
	}
	slices.SortFunc(out, func(a, b Key) int { return int(a.Create - b.Create) })
	return out
}

func terms(keys []kv) []Key { return keysBelow(keys, TermPrefix(path)) }
func queue(keys []kv) []Key { return keysBelow(keys, QueuePrefix(path)) }

// term is the term key that stands, without its nonce.
func (w *world) term() Key {
	for _, k := range w.etcd.keys {
		if strings.HasPrefix(k.name, termPrefix) {
			return k.key
		}
	}
	return Key{}
}

func first(keys []Key) Key {
	if len(keys) == 0 {
		return Key{}
	}
	return keys[0]
}

// owner is the process that a nonce belongs to.
func owner(nonce string) string {
	seed, _, _ := strings.Cut(nonce, ".")
	return seed
}

// judge looks at what a transaction has changed, or a lease or somebody's hand (f is nil for both of those).
func (w *world) judge(before []kv, f *flight) {
	after := w.etcd.keys
	all := terms(after)
	if len(all) > 1 {
		w.fail("law 1: two term keys, %s and %s", all[0].Nonce, all[1].Nonce)
	}
	if f != nil && f.sent != w.backs {
		w.judgeLate(before, first(all))
		return
	}
	old, term, public := first(terms(before)), first(all), lookup(after, path)
	if term.Exists() && term.Create != old.Create {
		w.judgeTerm(before, old, term, f)
	}
	if held := lookup(before, path); f != nil && public != held {
		if held.Exists() && held.Lease == 0 {
			w.fail("section 4: a %s of %s changed a stranger's PATH", f.kind, f.seed)
		}
		w.mirror = owner(term.Nonce)
	}
	if w.mirror != "" && term.Exists() &&
		(public.Mod != term.Mod || public.Data != term.Data || public.Lease != term.Lease) {
		w.fail("law 1: PATH is %v under the term %v", public, term)
	}
	if f != nil && f.kind == Resign && f.res.ok && !f.gap && len(queue(before)) > 0 {
		w.fail("law 6: %s resigned while %s waited", f.seed, first(queue(before)).Nonce)
	}
	if f != nil && f.kind == Entry {
		w.judgeEntry(before, f)
	}
	if f != nil && f.kind != Entry { // a late one may bring back what has come to its end since
		w.judgeData()
	}
}

// judgeLate takes note of what was done by a transaction of before etcd went back: what it compares may be as it should by
// chance, since revisions come again.
func (w *world) judgeLate(before []kv, term Key) {
	w.top = max(w.top, term.Create)
	if w.etcd.get(path) != lookup(before, path) {
		w.mirror = owner(term.Nonce)
	}
}

// judgeEntry asks whether an enter changed anything though its key was there.
func (w *world) judgeEntry(before []kv, f *flight) {
	for _, change := range w.etcd.log[len(w.etcd.log)-1].changes {
		_, part, nonce := ParseKey(change.Name)
		if part != PartPath && (lookup(before, TermPrefix(path)+nonce).Exists() || lookup(before, QueuePrefix(path)+nonce).Exists()) {
			w.fail("section 4: an enter of %s put %s, and its key was there", f.seed, change.Name)
		}
	}
}

// judgeData asks whether the last revision put data that its owner had already changed and seen changed.
func (w *world) judgeData() {
	for _, change := range w.etcd.log[len(w.etcd.log)-1].changes {
		_, part, nonce := ParseKey(change.Name)
		for _, p := range w.procs {
			if (part == PartTerm || part == PartQueue) && !change.Deletion && p.alive && !p.stale && p.cand.Key().Nonce == nonce &&
				p.cand.Settled() && p.wants && change.Key.Data != p.data {
				w.fail("section 3: %s has settled on %s, and %s came after", p.seed, p.data, change.Key.Data)
			}
		}
	}
}

// judgeTerm asks whether a new term went to the right one.
func (w *world) judgeTerm(before []kv, old, term Key, f *flight) {
	if term.Create <= w.top {
		w.fail("law 3: term %d after %d", term.Create, w.top)
	}
	w.top = term.Create
	waiting := queue(before)
	for _, k := range waiting {
		if f != nil && f.kind != Claim && k.Nonce == term.Nonce && (k.Data != term.Data || k.Lease != term.Lease) {
			w.fail("section 4: %v was handed over to as %v", k, term)
		}
	}
	if f != nil && f.kind != Entry && f.kind != Claim && w.etcd.get(TransferKey(path)).Exists() {
		w.fail("section 4: a %s leaves the transfer request", f.kind)
	}
	switch {
	case f == nil:
		w.fail("law 12: a term that nobody asked for")
	case f.kind == NewTerm && owner(old.Nonce) == owner(term.Nonce):
	case f.kind == Repair && w.mirror == owner(term.Nonce):
	case len(waiting) == 0 || waiting[0].Nonce == term.Nonce:
	case w.named(old, term):
	case f.sweep && w.unowned(waiting, term):
	default:
		w.fail("law 5: %s was elected by a %s, but %s was first", term.Nonce, f.kind, waiting[0].Nonce)
	}
}

// named reports whether somebody asked for this transfer.
func (w *world) named(old, term Key) bool {
	id, _, _ := Split(term.Data)
	return slices.Contains(w.requests, TransferData(old.Create, id))
}

// unowned reports whether nobody had a use for the queue keys before the one that was elected.
func (w *world) unowned(waiting []Key, term Key) bool {
	for _, k := range waiting {
		if k.Nonce == term.Nonce {
			return true
		}
		for _, p := range w.procs {
			if p.alive && p.cand.Owns(k.Nonce) {
				return false
			}
		}
	}
	return false
}
