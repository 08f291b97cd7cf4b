package election

import (
	"reflect"
	"testing"
)

// viewOf is a view of what was read at a revision.
func viewOf(revision int64, keys ...string) View {
	var v View
	v.Reset(path, revision, changesOf(keys))
	return v
}

func changesOf(keys []string) (out []Change) {
	for _, k := range keys {
		out = append(out, written(k))
	}
	return out
}

func deleted(revision int64, name string) Change {
	return Change{Name: long(name), Key: Key{Mod: revision}, Deletion: true}
}

func nonces(v *View) (out []string) {
	for _, k := range v.Queue {
		out = append(out, k.Nonce)
	}
	return out
}

func TestViewReset(t *testing.T) {
	v := viewOf(9, "PATH=b:::2@2/2/7", "term/b.1=b:::2@2/2/7", "queue/c.1=c:::3@8/8/1", "queue/a.1=a:::1@4/9/1", "transfer=2:::@6/6/3")
	v.Reset(path, 9, append(changesOf([]string{"PATH=b:::2@2/2/7", "term/b.1=b:::2@2/2/7"}),
		Change{Name: "/job2", Key: Key{Data: "x", Mod: 3}}, Change{Name: Prefix("/job2") + "transfer", Key: Key{Mod: 3}},
		written("queue/c.1=c:::3@8/8/1"), written("queue/a.1=a:::1@4/9/1"), written("transfer=2:::@6/6/3")))
	if v.Path.Data != "b:::2" || v.Term.Nonce != "b.1" || v.Transfer.Data != "2:::" || !v.Exact() {
		t.Errorf("the view is %+v", v)
	}
	if got := nonces(&v); !reflect.DeepEqual(got, []string{"a.1", "c.1"}) {
		t.Errorf("the queue is %v, not in order of CreateRevision", got)
	}
	before := v
	if v.Reset(path, 8, nil); !reflect.DeepEqual(v, before) {
		t.Errorf("an older read made it %+v", v)
	}
	if v.Reset(path, 10, nil); v.Path.Exists() || v.Term.Exists() || v.Transfer.Exists() || len(v.Queue) > 0 || v.Revision != 10 {
		t.Errorf("a read of nothing left %+v", v)
	}
}

// A read may be newer than what one watch told and older than what the other one did.
func TestViewResetInPart(t *testing.T) {
	v := viewOf(2, "PATH=b:::2@2/2/7", "term/b.1=b:::2@2/2/7")
	v.Apply(path, 6, []Change{deleted(6, "term/b.1")})
	if v.Reset(path, 4, changesOf([]string{"PATH=x@2/4/0", "term/b.1=b:::2@2/2/7"})); v.Term.Exists() || v.Revision != 6 ||
		v.Path.Data != "x" || v.PathRevision != 4 || v.Exact() {
		t.Errorf("the older read of the keys counted, or the newer one of PATH did not: %+v", v)
	}
	v.ApplyPath(8, deleted(8, "PATH"))
	if v.Reset(path, 7, changesOf([]string{"PATH=x@2/4/0", "queue/a.1=a:::1@7/7/1"})); v.Path.Exists() || v.PathRevision != 8 ||
		v.Head().Nonce != "a.1" || v.Exact() {
		t.Errorf("the older read of PATH counted, or the newer one of the keys did not: %+v", v)
	}
}

func TestViewApply(t *testing.T) {
	v := viewOf(4, "term/b.1=b:::2@2/2/7", "queue/a.1=a:::1@4/4/1")
	steps := []struct {
		revision int64
		changes  []Change
		fresh    bool
		queue    []string
	}{
		{4, []Change{deleted(4, "queue/a.1")}, false, []string{"a.1"}}, // known
		{3, []Change{deleted(3, "term/b.1")}, false, []string{"a.1"}},  // out of date
		{5, changesOf([]string{"queue/c.1=c:::3@5/5/8"}), true, []string{"a.1", "c.1"}},
		{6, changesOf([]string{"queue/a.1=a:::9@4/6/1"}), true, []string{"a.1", "c.1"}}, // put anew: keeps its place
		{7, []Change{deleted(7, "queue/a.1")}, true, []string{"c.1"}},
		{8, []Change{deleted(8, "queue/never")}, true, []string{"c.1"}},
		{9, []Change{{Name: Prefix(path) + "other", Key: Key{Mod: 9}}}, true, []string{"c.1"}},
	}
	for _, s := range steps {
		if fresh := v.Apply(path, s.revision, s.changes); fresh != s.fresh || !reflect.DeepEqual(nonces(&v), s.queue) || !v.Term.Exists() {
			t.Errorf("revision %d: %v, the queue is %v and the term %v", s.revision, fresh, nonces(&v), v.Term)
		}
	}
	if v.Revision != 9 || v.TermRevision != 4 {
		t.Errorf("the view is at %d, the term changed at %d", v.Revision, v.TermRevision)
	}
}

// A handover deletes one term key and puts another at one revision, in either order.
func TestViewHandover(t *testing.T) {
	changes := append(changesOf([]string{"term/c.1=c:::3@6/6/8"}), deleted(6, "term/b.1"), deleted(6, "queue/c.1"))
	for _, order := range [][3]int{{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}} {
		v := viewOf(5, "term/b.1=b:::2@2/2/7", "queue/c.1=c:::3@5/5/8")
		v.Apply(path, 6, []Change{changes[order[0]], changes[order[1]], changes[order[2]]})
		if v.Term.Nonce != "c.1" || len(v.Queue) > 0 || v.TermRevision != 6 {
			t.Errorf("in the order %v: %+v", order, v)
		}
	}
}

func TestViewApplyPath(t *testing.T) {
	v := viewOf(4, "PATH=b:::2@2/2/7")
	if v.ApplyPath(4, deleted(4, "PATH")) || v.ApplyPath(3, deleted(3, "PATH")) || !v.Path.Exists() {
		t.Error("an out-of-date change counted")
	}
	if !v.ApplyPath(6, written("PATH=x@2/6/0")) || v.Path.Data != "x" || v.Revision != 4 || v.Exact() {
		t.Errorf("PATH was put: %+v", v)
	}
	if !v.ApplyPath(7, deleted(7, "PATH")) || v.Path.Exists() || v.PathRevision != 7 {
		t.Errorf("PATH was deleted: %+v", v)
	}
}

// PATH and the term are known to have been so together if PATH was seen after the last change of the term, and not later
// than the view.
func TestViewExact(t *testing.T) {
	v := viewOf(4, "PATH=b:::2@2/2/7", "term/b.1=b:::2@2/2/7")
	v.Apply(path, 5, changesOf([]string{"queue/a.1=a:::1@5/5/1"}))
	if !v.Exact() {
		t.Error("who joins the queue changes neither")
	}
	if v.ApplyPath(7, deleted(7, "PATH")); v.Exact() {
		t.Error("PATH is newer than the rest")
	}
	if v.Apply(path, 8, []Change{deleted(8, "queue/a.1")}); !v.Exact() {
		t.Error("the term has not changed since before PATH was seen")
	}
	if v.Apply(path, 9, []Change{deleted(9, "term/b.1")}); v.Exact() {
		t.Error("the term has changed since PATH was seen")
	}
}

func TestViewBarred(t *testing.T) {
	v := viewOf(4, "PATH=x@2/2/0", "queue/a.1=a:::1@4/4/1")
	if !v.Barred() {
		t.Error("nobody leads, and PATH is held")
	}
	v = viewOf(4, "PATH=b:::2@2/2/7", "term/b.1=b:::2@2/2/7")
	if v.Barred() {
		t.Error("somebody leads")
	}
	if v.Apply(path, 5, []Change{deleted(5, "term/b.1")}); v.Barred() {
		t.Error("PATH may have gone with the term")
	}
	if v.ApplyPath(6, written("PATH=x@2/6/0")); !v.Barred() {
		t.Error("PATH was put since the term went")
	}
}

func TestViewWaiting(t *testing.T) {
	v := viewOf(9, "queue/a.1=a:::1@4/9/1", "queue/b.1=b:::2@5/5/7", "queue/b.2=b:::3@6/6/7", "queue/x.1=odd@7/7/7")
	for _, create := range []int64{0, 5} {
		if v.Waiting("b.1", create).Create != 5 {
			t.Errorf("b.1 is not found with the hint %d", create)
		}
	}
	if v.Waiting("b.1", 6).Exists() || v.Waiting("none", 0).Exists() || v.Waiting("none", 5).Exists() {
		t.Error("a key is found that is not there")
	}
	if v.WaitingID("b").Nonce != "b.1" || v.WaitingID("odd").Exists() || v.WaitingID("").Exists() || v.Head().Nonce != "a.1" {
		t.Error("the first one with an id")
	}
}

// What a watch tells before the election was read is kept until then: no change is missed and none is invented (law 9).
func TestLaw9ViewOpened(t *testing.T) {
	v := viewOf(3, "term/b.1=b:::2@2/2/7")
	if v.Opened(3) || !v.Opened(6) {
		t.Error("a view that is older than the watch must be read")
	}
	if v.Apply(path, 8, []Change{deleted(8, "queue/a.1")}) || v.Revision != 3 {
		t.Error("there is a hole before what the watch tells")
	}
	v.Apply(path, 9, changesOf([]string{"queue/c.1=c:::3@9/9/8"}))
	if v.Reset(path, 5, changesOf([]string{"term/b.1=b:::2@2/2/7"})); v.Revision != 5 || len(v.Queue) > 0 {
		t.Errorf("a read that is older than the watch does not close it: %+v", v)
	}
	v.Reset(path, 8, changesOf([]string{"queue/d.1=d:::4@7/7/8"}))
	if got := nonces(&v); v.Revision != 9 || !reflect.DeepEqual(got, []string{"d.1", "c.1"}) || v.Term.Exists() {
		t.Errorf("read at 8, and 9 was kept: %+v", v)
	}
	if !v.Apply(path, 10, []Change{deleted(10, "queue/d.1")}) {
		t.Error("from now on it follows the watch")
	}
}
