package sim

import (
	"errors"
	"slices"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/election"
)

// check holds what was recorded against the laws that a record can break. Laws 2 and 3 are checked by the history of
// beliefs besides.
func (a *Arena) check() {
	a.T.Helper()
	a.checkKeys()
	a.checkTerms()
	if !a.overlap && !IsLock(a.Beliefs.Beliefs()) {
		a.T.Error("laws 2 and 3: the beliefs are not those of the holders of a lock")
	}
	for _, m := range a.Members {
		m.checkEvents()
	}
}

// each gives the election as it was at each revision.
func (a *Arena) each(f func(before, after *election.View, r revision)) {
	view := a.before
	view.Queue = slices.Clone(a.before.Queue)
	for _, r := range a.etcd {
		before := view
		before.Queue = slices.Clone(view.Queue)
		view.Apply(a.Path, r.number, r.changes)
		for _, c := range r.changes {
			if c.Name == a.Path {
				view.ApplyPath(r.number, c)
			}
		}
		f(&before, &view, r)
	}
}

// checkKeys checks laws 1, 3, 5 and 6 on the keys.
func (a *Arena) checkKeys() {
	terms := map[string]bool{}
	last := a.before.Term.Create
	if a.before.Term.Exists() {
		terms[a.before.Term.Nonce] = true
	}
	a.each(func(before, after *election.View, r revision) {
		for _, c := range r.changes {
			_, part, nonce := election.ParseKey(c.Name)
			if part != election.PartTerm {
				continue
			}
			if c.Deletion {
				delete(terms, nonce)
			} else {
				terms[nonce] = true
			}
		}
		if len(terms) > 1 {
			a.T.Errorf("law 1: at revision %d there are %d terms", r.number, len(terms))
		}
		if t := after.Term; t.Exists() && after.Path.Data != t.Data && (after.Path.Exists() || !a.Edits) {
			a.T.Errorf("law 1: at revision %d the path holds %q, the term %q", r.number, after.Path.Data, t.Data)
		}
		if t := after.Term; t.Create == r.number {
			if t.Create <= last {
				a.T.Errorf("law 3: token %d after %d", t.Create, last)
			}
			last = t.Create
			a.checkTurn(before, t)
		}
		if before.Path.Exists() && !after.Path.Exists() && len(after.Queue) > 0 && a.Clean {
			a.T.Errorf("law 6: at revision %d the path is empty while %q waits", r.number, after.Queue[0].Data)
		}
	})
}

// checkTurn checks that a new term is that of the first in the queue, or of somebody who entered an empty election, or a
// new one of the same leader, or that a transfer asked for it.
func (a *Arena) checkTurn(before *election.View, t election.Key) {
	id := holderOf(t)
	head := before.Head()
	switch {
	case head.Nonce == t.Nonce, len(before.Queue) == 0:
	case holderOf(before.Term) == id, holderOf(before.Path) == id: // a new term, a repair
	case before.Transfer.Exists():
	default:
		a.T.Errorf("law 5: %s was elected at revision %d while %q was first in the queue", id, t.Create, head.Data)
	}
}

// checkTerms checks law 12: whoever was told to be elected was put there, by a transaction, under its own id.
func (a *Arena) checkTerms() {
	created := map[int64]string{a.before.Term.Create: holderOf(a.before.Term)}
	a.each(func(_, after *election.View, r revision) {
		if after.Term.Create == r.number {
			created[r.number] = holderOf(after.Term)
		}
	})
	for token, id := range a.terms {
		if created[token] != id {
			a.T.Errorf("law 12: %s was selected with token %d, which is that of %q", id, token, created[token])
		}
	}
}

// puts is the data of the terms, by the revision at which it was put.
func (a *Arena) puts() map[int64][]string {
	puts := map[int64][]string{a.before.Term.Mod: {a.before.Term.Data}}
	a.each(func(_, after *election.View, r revision) {
		if after.Term.Mod == r.number {
			puts[r.number] = []string{after.Term.Data}
		}
	})
	return puts
}

// checkEvents checks law 9 on what one member was told.
func (m *Member) checkEvents() {
	m.a.T.Helper()
	puts := m.a.puts()
	selected, last := false, int64(0)
	for _, e := range m.Heard() {
		switch e.Kind {
		case locked.EventSelect:
			if selected {
				m.a.T.Errorf("law 9: %s heard select twice", m.Name)
			}
			selected = true
		case locked.EventDeselect:
			if !selected || e.Cause == nil {
				m.a.T.Errorf("law 9: %s heard deselect (cause %v) while selected is %v", m.Name, e.Cause, selected)
			}
			selected = false
		case locked.EventChange, locked.EventVacant:
			if e.Revision < last {
				m.a.T.Errorf("law 9: %s heard of revision %d after %d", m.Name, e.Revision, last)
			}
			last = e.Revision
			if data := election.Join(e.ID, e.Value); e.Kind == locked.EventChange &&
				!slices.Contains(puts[e.Revision], data) && !slices.Contains(m.a.earlier[e.Revision], data) {
				m.a.T.Errorf("law 9: %s heard %v, which never was", m.Name, e)
			}
		case locked.EventError:
			if errors.Is(e.Cause, locked.ErrWentBack) {
				last = 0
			}
		}
	}
	if selected {
		m.a.T.Errorf("law 9: %s never heard that its last term has ended", m.Name)
	}
}
