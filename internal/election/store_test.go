package election

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
)

// store is etcd as far as the protocol can tell: keys with revisions and leases, transactions, and the log of changes that
// watches read. A clone shares the past and the keys, which are replaced as a whole.
type store struct {
	rev    int64
	keys   []kv // in order of name
	leases []int64
	log    []commit
}

type kv struct {
	name string
	key  Key
}

// commit is all that one revision changed.
type commit struct {
	rev     int64
	changes []Change
}

// result is what etcd answers to a transaction.
type result struct {
	ok   bool // the compares held
	rev  int64
	read []Change
}

var (
	errDuplicate = errors.New("duplicate key given in txn request")
	errNoLease   = errors.New("requested lease not found")
)

func newStore() store { return store{rev: 1} }

// clone keeps its leases in the given room.
func (s *store) clone(room []int64) store {
	return store{rev: s.rev, keys: s.keys, leases: append(room[:0], s.leases...), log: slices.Clip(s.log)}
}

func find(keys []kv, name string) (int, bool) {
	return slices.BinarySearchFunc(keys, name, func(k kv, name string) int { return cmp.Compare(k.name, name) })
}

// get is the key with that name, the zero Key if there is none.
func (s *store) get(name string) Key { return lookup(s.keys, name) }

func lookup(keys []kv, name string) Key {
	if i, ok := find(keys, name); ok {
		return keys[i].key
	}
	return Key{}
}

func matching(keys []kv, name string, prefix bool) []kv {
	i, ok := find(keys, name)
	j := i
	for j < len(keys) && prefix && strings.HasPrefix(keys[j].name, name) {
		j++
	}
	if !prefix && ok {
		j++
	}
	return keys[i:j]
}

// txn executes a transaction: wholly, or with an error and without any effect.
func (s *store) txn(t Txn) (result, error) {
	if _, _, err := writes(t.Then); err != nil {
		return result{}, err
	}
	if _, _, err := writes(t.Else); err != nil {
		return result{}, err
	}
	x := execution{before: s.keys, after: slices.Clone(s.keys), rev: s.rev + 1, leases: s.leases}
	ok, err := x.run(t)
	if err != nil {
		return result{}, err
	}
	s.commit(x.after, x.changes)
	return result{ok: ok, rev: s.rev, read: x.read}, nil
}

// commit makes a new revision if there is a change.
func (s *store) commit(keys []kv, changes []Change) {
	if len(changes) == 0 {
		return
	}
	s.rev++
	s.keys = keys
	s.log = append(s.log, commit{s.rev, changes})
}

func (s *store) grant(lease int64) { s.leases = append(s.leases, lease) }

func (s *store) granted(lease int64) bool { return slices.Contains(s.leases, lease) }

// revoke ends a lease and deletes its keys, all at one revision.
func (s *store) revoke(lease int64) {
	s.leases = slices.DeleteFunc(s.leases, func(l int64) bool { return l == lease })
	x := execution{after: slices.Clone(s.keys), rev: s.rev + 1}
	for _, k := range s.keys {
		if k.key.Lease == lease {
			x.del(k.name)
		}
	}
	s.commit(x.after, x.changes)
}

// execution is a transaction on its way through the store.
type execution struct {
	before, after []kv
	leases        []int64
	rev           int64
	changes       []Change
	read          []Change
}

func (x *execution) run(t Txn) (bool, error) {
	ok, ops := true, t.Then
	for _, c := range t.If {
		if !holds(x.before, c) {
			ok, ops = false, t.Else
			break
		}
	}
	for _, op := range ops {
		if err := x.do(op); err != nil {
			return ok, err
		}
	}
	return ok, nil
}

func (x *execution) do(op Op) error {
	switch op.Kind {
	case Put:
		if op.Lease != 0 && !slices.Contains(x.leases, op.Lease) {
			return errNoLease
		}
		x.put(op)
	case Delete:
		x.del(op.Key)
	case Get:
		for _, k := range matching(x.after, op.Key, op.Prefix) {
			x.read = append(x.read, Change{Name: k.name, Key: k.key})
		}
	case Nested:
		_, err := x.run(*op.Txn)
		return err
	}
	return nil
}

func (x *execution) put(op Op) {
	i, ok := find(x.after, op.Key)
	if !ok {
		x.after = slices.Insert(x.after, i, kv{name: op.Key, key: Key{Create: x.rev}})
	}
	k := &x.after[i].key
	k.Data, k.Lease, k.Mod = op.Value, op.Lease, x.rev
	x.changes = append(x.changes, Change{Name: op.Key, Key: *k})
}

func (x *execution) del(name string) {
	if i, ok := find(x.after, name); ok {
		x.after = slices.Delete(x.after, i, i+1)
		x.changes = append(x.changes, Change{Name: name, Key: Key{Mod: x.rev}, Deletion: true})
	}
}

// holds evaluates a compare: every key of the range must satisfy it, and an empty range counts as one zero key.
func holds(keys []kv, c Cmp) bool {
	found := matching(keys, c.Key, c.Prefix)
	if len(found) == 0 {
		return satisfies(Key{}, c)
	}
	for _, k := range found {
		if !satisfies(k.key, c) {
			return false
		}
	}
	return true
}

func satisfies(k Key, c Cmp) bool {
	have := k.Create
	if c.Field == ModRevision {
		have = k.Mod
	}
	switch c.Op {
	case '<':
		return have < c.Rev
	case '=':
		return have == c.Rev
	case '>':
		return have > c.Rev
	}
	panic("no such compare: " + string(c.Op))
}

// writes gives the keys that a branch may put and delete. etcd refuses one that puts a key twice, or puts and deletes it.
func writes(ops []Op) (puts, dels []string, err error) {
	for _, op := range ops {
		var p, d []string
		switch op.Kind {
		case Put:
			p = []string{op.Key}
		case Delete:
			d = []string{op.Key}
		case Nested:
			if p, d, err = nestedWrites(op.Txn); err != nil {
				return nil, nil, err
			}
		}
		if overlap(p, puts) || overlap(p, dels) || overlap(d, puts) {
			return nil, nil, errDuplicate
		}
		puts, dels = append(puts, p...), append(dels, d...)
	}
	return puts, dels, nil
}

func nestedWrites(t *Txn) (puts, dels []string, err error) {
	p1, d1, err := writes(t.Then)
	if err != nil {
		return nil, nil, err
	}
	p2, d2, err := writes(t.Else)
	return append(p1, p2...), append(d1, d2...), err
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func TestStore(t *testing.T) {
	s := newStore()
	s.grant(1)
	must := func(txn Txn) result {
		t.Helper()
		r, err := s.txn(txn)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := must(Txn{If: []Cmp{none("a/")}, Then: []Op{put("a/x", "1", 1), {Kind: Get, Key: "a/", Prefix: true}}}); !r.ok ||
		r.rev != 2 || r.read[0].Key != (Key{Data: "1", Create: 2, Mod: 2, Lease: 1}) {
		t.Error("a read sees the earlier put of its branch:", r)
	}
	nested := Txn{If: []Cmp{none("b/")}, Then: []Op{put("c", "1", 0)}}
	if must(Txn{Then: []Op{put("b/x", "1", 0), {Kind: Nested, Txn: &nested}}}); !s.get("c").Exists() {
		t.Error("a nested compare sees the state before the whole transaction")
	}
	if _, err := s.txn(Txn{Then: []Op{put("d", "1", 0), put("e", "1", 9)}}); err != errNoLease || s.get("d").Exists() || s.rev != 3 {
		t.Error("a lease that is gone fails the whole transaction:", err)
	}
	if _, err := s.txn(Txn{Then: []Op{put("d", "1", 0), del("d")}}); err != errDuplicate {
		t.Error("a key put and deleted in one branch:", err)
	}
	if r := must(Txn{If: []Cmp{none("a/")}, Then: []Op{del("b/x")}}); r.ok || r.rev != 3 || len(s.log) != 2 {
		t.Error("a transaction that changes nothing makes no revision:", r)
	}
	old := s.clone(nil)
	must(Txn{Then: []Op{put("a/y", "1", 1)}})
	if s.revoke(1); s.rev != 5 || len(s.log[3].changes) != 2 || s.get("a/x").Exists() || s.granted(1) {
		t.Error("a lease takes its keys with it in one revision:", s.log)
	}
	if !old.get("a/x").Exists() || old.rev != 3 || len(old.log) != 2 || !old.granted(1) {
		t.Error("a clone stays as it was:", old)
	}
}
