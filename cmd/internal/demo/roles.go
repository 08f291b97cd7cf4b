package demo

import (
	"context"
	"time"
)

// What the demo knows of who leads: nothing but what the candidates have told, and what was seen of the key.

// leads reports whether a candidate leads, by what it told last, and when its term began.
func (d *demo) leads(a *candidate) (began record, yes bool) {
	r := d.journal.latest(a.name, "select", "deselect", killed, ended, failed)
	return r, r.Kind == "select"
}

// leader gives the one who leads, once somebody does, and the beginning of its term.
func (d *demo) leader(ctx context.Context) (leader *candidate, began record, err error) {
	_, err = d.journal.await(ctx, 0, "a leader", func(record) bool {
		for _, a := range d.candidates {
			if r, yes := d.leads(a); yes {
				leader, began = a, r
			}
		}
		return leader != nil
	})
	return leader, began, err
}

// renewed gives the one who leads once it has renewed its lease as the leader, and when it last did.
func (d *demo) renewed(ctx context.Context) (leader *candidate, at time.Time, err error) {
	_, err = d.journal.await(ctx, 0, "a leader that has renewed its lease", func(record) bool {
		for _, a := range d.candidates {
			began, yes := d.leads(a)
			if r := d.journal.latest(a.name, "refresh"); yes && r.Token == began.Token {
				leader, at = a, r.At
			}
		}
		return leader != nil
	})
	return leader, at, err
}

// agreed gives the leader that all candidates know of, once they know of the same.
func (d *demo) agreed(ctx context.Context) (leader record, err error) {
	_, err = d.journal.await(ctx, 0, "all knowing the same leader", func(record) bool {
		for i, a := range d.candidates {
			r := d.journal.latest(a.name, "change", "vacant")
			if r.Kind != "change" || i > 0 && (r.Token != leader.Token || r.ID != leader.ID || r.Value != leader.Value) {
				return false
			}
			leader = r
		}
		return true
	})
	return leader, err
}

// successor waits for somebody else to lead.
func (d *demo) successor(ctx context.Context, mark int, a *candidate) (record, error) {
	return d.journal.await(ctx, mark, "a leader after "+a.name, func(r record) bool { return r.Kind == "select" && r.who != a.name })
}

// passed waits until a candidate does not lead any more, and somebody else does.
func (d *demo) passed(ctx context.Context, mark int, a *candidate) (stopped, began record, err error) {
	if stopped, err = d.journal.of(ctx, mark, a.name, "deselect"); err != nil {
		return stopped, began, err
	}
	began, err = d.successor(ctx, mark, a)
	return stopped, began, err
}

// neverEmpty checks what was seen of the key from a place on, up to the beginning of the next term: one put, and nobody
// who found it empty.
func (d *demo) neverEmpty(ctx context.Context, mark int, before *candidate, began record) error {
	for _, a := range d.candidates {
		if a == before {
			continue
		}
		knows := func(r record) bool { return r.who == a.name && r.Kind == "change" && r.Revision >= began.Revision }
		if _, err := d.journal.await(ctx, mark, a.name+" hearing of it", knows); err != nil {
			return err
		}
	}
	at := func(r record) bool { return r.Kind == put && r.Revision >= began.Revision }
	if _, err := d.journal.await(ctx, mark, "a change of the key", at); err != nil {
		return err
	}
	puts := 0
	for _, r := range d.journal.all(mark) {
		switch {
		case r.Revision > began.Revision:
		case r.Kind == deleted || r.Kind == "vacant":
			return broken("%s found nobody elected during the handover", r.who)
		case r.Kind == put:
			puts++
		}
	}
	if puts != 1 {
		return broken("the key was changed %d times during the handover", puts)
	}
	d.story.aside(etcdItself, "%s went from %s's value to %s's at revision %d, never empty", path, before.name, began.who, began.Revision)
	return nil
}
