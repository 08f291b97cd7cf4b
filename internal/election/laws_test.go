package election

import (
	"slices"
	"strings"
	"testing"
)

// quiet is a world without faults in which so many candidates have entered, and know it.
func quiet(n int) *world {
	w := newWorld(calm{}, nil)
	w.populate(n)
	for _, p := range w.procs {
		p.grant()
		p.enter()
	}
	w.settle()
	w.asks = 0
	return w
}

// caught makes a test fail by the law that was broken in its world.
func caught(t *testing.T) {
	if r := recover(); r != nil {
		t.Fatal(r)
	}
}

func (w *world) leader() *proc {
	for _, p := range w.procs {
		if p.alive && p.leads() {
			return p
		}
	}
	return nil
}

// Law 10: a leader's death costs one transaction, however many wait; so does its leaving.
func TestLaw10NoHerd(t *testing.T) {
	defer caught(t)
	for _, n := range []int{2, 3, 60} {
		w := quiet(n)
		old := w.leader()
		old.alive = false
		w.procs = w.procs[1:]
		w.end(old.hold.Current)
		w.settle()
		if w.asks != 1 || w.leader() == nil || w.leader().seed != w.procs[0].seed {
			t.Errorf("%d candidates: %d transactions after the leader's death", n, w.asks)
		}
		if n == 2 {
			continue
		}
		w.asks = 0
		w.leader().leave()
		w.settle()
		if w.asks != 1 || w.leader() != w.procs[1] {
			t.Errorf("%d candidates: %d transactions after the leader left", n, w.asks)
		}
	}
}

// Law 5: they lead in the order in which they entered, each after the one before has left.
func TestLaw5FirstComeFirstServed(t *testing.T) {
	defer caught(t)
	w := quiet(6)
	for i, p := range w.procs {
		if w.leader() != p {
			t.Fatalf("candidate %d does not lead", i)
		}
		p.leave()
		w.settle()
	}
	if len(w.etcd.keys) > 0 {
		t.Errorf("law 11: %v is left", w.etcd.keys)
	}
}

// Law 4: a write that carries the guard of a term commits only while that term holds.
func TestLaw4Fenced(t *testing.T) {
	defer caught(t)
	w := quiet(2)
	p := w.leader()
	key, _ := p.cand.Leading()
	fenced := Txn{If: []Cmp{created(TermPrefix(path)+key.Nonce, key.Create)}, Then: []Op{put("/data", "x", 0)}}
	if r, err := w.etcd.txn(fenced); err != nil || !r.ok {
		t.Error("the term holds, but its write was refused:", err)
	}
	p.set()
	w.settle()
	if r, err := w.etcd.txn(fenced); err != nil || !r.ok {
		t.Error("a new value began a new term:", err)
	}
	p.leave()
	w.settle()
	if r, err := w.etcd.txn(fenced); err != nil || r.ok {
		t.Error("a late write of an old term was done:", err)
	}
}

// A transfer is asked for where the addressed term holds, and nothing else was asked of it. What was asked of an earlier
// term is replaced.
func TestRequestTransfer(t *testing.T) {
	const term = "term/b.1=b:::2@3/3/7"
	for _, c := range []struct {
		name, standing string // when it was read
		now            string // when it arrives
		asked, done    bool
	}{
		{name: "nothing stands", asked: true, done: true},
		{name: "asked of this term", standing: "transfer=3:::c@4/4/9", now: "transfer=3:::c@4/4/9"},
		{name: "asked of an earlier term", standing: "transfer=1:::c@2/2/9", now: "transfer=1:::c@2/2/9", asked: true, done: true},
		{name: "not to be understood", standing: "transfer=c@2/2/9", now: "transfer=c@2/2/9", asked: true, done: true},
		{name: "asked by another meanwhile", now: "transfer=3:::c@6/6/9", asked: true},
		{name: "replaced by another meanwhile", standing: "transfer=1:::c@2/2/9", now: "transfer=3:::c@2/6/9", asked: true},
	} {
		v := viewOf(5, strings.Fields(term+" "+c.standing)...)
		txn, asked := RequestTransfer(path, &v, "a", 5)
		s := newStore()
		s.rev, s.leases = 9, []int64{5}
		for _, change := range changesOf(strings.Fields(c.now + " " + term)) {
			s.keys = append(s.keys, kv{change.Name, change.Key})
		}
		slices.SortFunc(s.keys, func(a, b kv) int { return strings.Compare(a.name, b.name) })
		if asked != c.asked {
			t.Errorf("%s: asked is %v", c.name, asked)
		}
		if !asked {
			continue
		}
		if r, err := s.txn(txn); err != nil || r.ok != c.done || c.done && s.get(TransferKey(path)).Data != "3:::a" {
			t.Errorf("%s: done is %v, and what stands is %v (%v)", c.name, r.ok, s.get(TransferKey(path)), err)
		}
		s.keys = nil // the term has ended
		if r, err := s.txn(txn); err != nil || r.ok {
			t.Errorf("%s: asked of a term that has ended: %v", c.name, err)
		}
	}
}
