package election

import (
	"cmp"
	"slices"
)

// Key is one etcd key of an election as it was read. The zero Key stands for a key that does not exist.
type Key struct {
	Nonce  string // of a term or queue key
	Data   string // the key's value
	Create int64  // CreateRevision
	Mod    int64  // ModRevision
	Lease  int64
}

// Exists tells a key from the absence of one.
func (k Key) Exists() bool { return k.Mod != 0 }

// Change is one put or deletion, as a watch tells it.
type Change struct {
	Name     string // the whole etcd key
	Key      Key    // as put; of a deletion only Mod counts, the revision of the deletion
	Deletion bool
}

// View is an election as it was at one revision. PATH is not covered by the watch on the other keys, so it has a revision
// of its own: see Exact.
type View struct {
	Revision int64 // at which Term, Queue and Transfer were so
	Term     Key
	Queue    []Key // in order of CreateRevision: the first one is next
	Transfer Key

	PathRevision int64 // at which Path was so
	Path         Key
	TermRevision int64 // of the last change of Term that the view was told of
	former       int64 // ModRevision of the last term that has ended, and of PATH if that was left behind

	opened int64   // the watch tells what came after this revision
	early  []batch // what it told before the view was as new as that
}

// batch is the changes of one revision.
type batch struct {
	revision int64
	changes  []Change
}

// Exact reports whether Path and Term were so at one revision: the term has not changed since before PATH was seen.
func (v *View) Exact() bool { return v.TermRevision <= v.PathRevision && v.PathRevision <= v.Revision }

// Barred reports whether PATH is known to be held although nobody leads: by a stranger, or by keys mended by hand.
func (v *View) Barred() bool {
	return !v.Term.Exists() && v.Path.Exists() && v.PathRevision >= v.TermRevision
}

// strange reports whether PATH is not what the last term has left behind, as when its key was deleted by hand: that one is repaired
// by whoever was elected, or ends with its lease.
func (v *View) strange() bool { return v.Path.Mod != v.former }

// Head is the first candidate in the queue, if any.
func (v *View) Head() Key {
	if len(v.Queue) == 0 {
		return Key{}
	}
	return v.Queue[0]
}

// Waiting finds the queue key with that nonce. The revision at which it was created, where known, makes that quick.
func (v *View) Waiting(nonce string, create int64) Key {
	for i := v.search(create); i < len(v.Queue); i++ {
		if v.Queue[i].Nonce == nonce {
			return v.Queue[i]
		}
		if create != 0 && v.Queue[i].Create > create {
			break
		}
	}
	return Key{}
}

// WaitingID finds the first queue key of a candidate with that id.
func (v *View) WaitingID(id string) Key {
	for _, k := range v.Queue {
		if got, _, ok := Split(k.Data); ok && got == id {
			return k
		}
	}
	return Key{}
}

// search is the index of the first queue key that was not created before the revision.
func (v *View) search(create int64) int {
	i, _ := slices.BinarySearchFunc(v.Queue, create, func(k Key, c int64) int { return cmp.Compare(k.Create, c) })
	return i
}

// Opened notes that a watch was opened that tells every change after a revision. It reports whether the election must be
// read: the view is older than that. What the watch tells is kept until it was.
func (v *View) Opened(revision int64) (read bool) {
	v.opened, v.early = revision, nil
	return v.Revision < revision
}

// Reset replaces the view by what a read saw at one revision, where that is newer. The changes name the whole election,
// PATH included; keys of other elections are passed over.
func (v *View) Reset(path string, revision int64, changes []Change) {
	fresh := View{Revision: revision, PathRevision: revision, TermRevision: revision}
	for _, c := range changes {
		fresh.put(path, c)
	}
	if revision > v.PathRevision {
		v.Path, v.PathRevision = fresh.Path, revision
	}
	if revision >= v.Revision {
		if v.Term.Exists() && !fresh.Term.Exists() {
			v.former = v.Term.Mod
		}
		v.Revision, v.TermRevision = revision, revision
		v.Term, v.Queue, v.Transfer = fresh.Term, fresh.Queue, fresh.Transfer
	}
	if v.Revision >= v.opened {
		early := v.early
		v.early = nil
		for _, b := range early {
			v.Apply(path, b.revision, b.changes)
		}
	}
}

// Apply brings the view forward by the changes of one revision, as the watch on the election's prefix tells them. Changes
// that the view already knows of are passed over, and those that came before it was read are kept; it reports whether
// the view is newer now.
func (v *View) Apply(path string, revision int64, changes []Change) bool {
	if v.Revision < v.opened {
		v.early = append(v.early, batch{revision, changes})
		return false
	}
	if revision <= v.Revision {
		return false
	}
	v.Revision = revision
	for _, c := range changes {
		v.put(path, c)
	}
	return true
}

// ApplyPath is Apply for the watch on PATH.
func (v *View) ApplyPath(revision int64, c Change) bool {
	if revision <= v.PathRevision {
		return false
	}
	v.PathRevision = revision
	v.Path = c.Key
	if c.Deletion {
		v.Path = Key{}
	}
	return true
}

func (v *View) put(path string, c Change) {
	of, part, nonce := ParseKey(c.Name)
	if of != path {
		return
	}
	key := c.Key
	key.Nonce = nonce
	switch part {
	case PartPath:
		v.Path = key
	case PartTerm:
		v.putTerm(key, c.Deletion)
	case PartQueue:
		v.putQueue(key, c.Deletion)
	case PartTransfer:
		v.Transfer = key
		if c.Deletion {
			v.Transfer = Key{}
		}
	}
}

func (v *View) putTerm(key Key, deletion bool) {
	switch {
	case !deletion:
		v.Term = key
	case v.Term.Nonce == key.Nonce: // a handover deletes the old term in the revision that puts the new one
		v.former = v.Term.Mod
		v.Term = Key{}
	}
	v.TermRevision = v.Revision
}

func (v *View) putQueue(key Key, deletion bool) {
	if deletion {
		v.Queue = slices.DeleteFunc(v.Queue, func(k Key) bool { return k.Nonce == key.Nonce })
		return
	}
	i := v.search(key.Create)
	for i < len(v.Queue) && v.Queue[i].Create == key.Create {
		if v.Queue[i].Nonce == key.Nonce {
			v.Queue[i] = key
			return
		}
		i++
	}
	v.Queue = slices.Insert(v.Queue, i, key)
}
