package election

import "slices"

// A Txn is an etcd transaction: the compares must all hold for Then to be done, otherwise Else is done.
type Txn struct {
	If   []Cmp
	Then []Op
	Else []Op
}

// Size is about how many bytes the values in the transaction have.
func (t *Txn) Size() int {
	n := 0
	for _, branch := range [...][]Op{t.Then, t.Else} {
		for _, o := range branch {
			n += len(o.Value)
			if o.Txn != nil {
				n += o.Txn.Size()
			}
		}
	}
	return n
}

// Reads reports whether the transaction changes nothing whatever it finds: etcd answers it as a read then, without an entry.
func (t *Txn) Reads() bool {
	writes := func(o Op) bool { return o.Kind != Get }
	return !slices.ContainsFunc(t.Then, writes) && !slices.ContainsFunc(t.Else, writes)
}

// Field is the revision of a key that a compare looks at.
type Field uint8

// The fields of a key that transactions here compare.
const (
	CreateRevision Field = iota // 0 where the key does not exist
	ModRevision                 // 0 where the key does not exist
)

// Cmp compares one revision of a key, or of every key with a prefix, with a number. On no key at all a prefix compare
// behaves as on one key with revision 0, as in etcd.
type Cmp struct {
	Key    string
	Prefix bool
	Field  Field
	Op     byte // '<', '=' or '>'
	Rev    int64
}

// OpKind is what an operation does.
type OpKind uint8

// The operations that transactions here are made of.
const (
	Put    OpKind = iota // Key, Value, Lease
	Delete               // Key
	Get                  // Key, or all keys that begin with it
	Nested               // Txn
)

// Op is one operation of a transaction.
type Op struct {
	Kind   OpKind
	Key    string
	Value  string
	Lease  int64
	Prefix bool
	Txn    *Txn
}

func created(key string, rev int64) Cmp {
	return Cmp{Key: key, Field: CreateRevision, Op: '=', Rev: rev}
}

func modified(key string, rev int64) Cmp { return Cmp{Key: key, Field: ModRevision, Op: '=', Rev: rev} }

// none holds where no key begins with the prefix.
func none(prefix string) Cmp {
	return Cmp{Key: prefix, Prefix: true, Field: CreateRevision, Op: '=', Rev: 0}
}

// unchanged holds where the key was not modified after the revision, or does not exist. etcd has no OR: this one
// compare stands for both.
func unchanged(key string, rev int64) Cmp {
	return Cmp{Key: key, Field: ModRevision, Op: '<', Rev: rev + 1}
}

func put(key, value string, lease int64) Op {
	return Op{Kind: Put, Key: key, Value: value, Lease: lease}
}
func del(key string) Op { return Op{Kind: Delete, Key: key} }

// ReadAll reads the whole election at one revision.
func ReadAll(path string) []Op {
	return []Op{{Kind: Get, Key: path}, {Kind: Get, Key: Prefix(path), Prefix: true}}
}

// putTerm is what makes a candidate the elected one.
func (c *Candidate) putTerm(nonce, data string, lease int64) []Op {
	return []Op{put(c.path, data, lease), put(TermPrefix(c.path)+nonce, data, lease)}
}

// guard holds as long as the candidate's term does, and PATH is as the candidate left it or absent.
func (c *Candidate) guard() []Cmp {
	return []Cmp{created(TermPrefix(c.path)+c.key.Nonce, c.key.Create), unchanged(c.path, c.key.Mod)}
}

// enterTxn elects the candidate where nobody leads, waits or holds PATH, and otherwise puts it into the queue. Repeating
// it with the same nonce changes nothing.
func (c *Candidate) enterTxn(lease int64) Txn {
	queued := Txn{
		If:   []Cmp{created(TermPrefix(c.path)+c.nonce, 0), created(QueuePrefix(c.path)+c.nonce, 0)},
		Then: []Op{put(QueuePrefix(c.path)+c.nonce, c.data, lease)},
	}
	return Txn{
		If:   []Cmp{created(c.path, 0), none(TermPrefix(c.path)), none(QueuePrefix(c.path))},
		Then: c.putTerm(c.nonce, c.data, lease),
		Else: append([]Op{{Kind: Nested, Txn: &queued}}, ReadAll(c.path)...),
	}
}

// claimTxn elects the head of the queue where nobody leads.
func (c *Candidate) claimTxn(lease int64) Txn {
	queue := QueuePrefix(c.path)
	return Txn{
		If: []Cmp{
			none(TermPrefix(c.path)), created(c.path, 0), modified(queue+c.key.Nonce, c.key.Mod),
			{Key: queue, Prefix: true, Field: CreateRevision, Op: '>', Rev: c.key.Create - 1},
		},
		Then: append(c.putTerm(c.key.Nonce, c.data, lease), del(queue+c.key.Nonce)),
		Else: ReadAll(c.path),
	}
}

// leaveTxn takes the candidate out of the queue.
func (c *Candidate) leaveTxn() Txn {
	key := QueuePrefix(c.path) + c.key.Nonce
	return Txn{If: []Cmp{created(key, c.key.Create)}, Then: []Op{del(key)}, Else: ReadAll(c.path)}
}

// handOverTxn gives the term to a waiting candidate, with its data and on its lease, so that nobody sees PATH empty. With
// a lease of its own the candidate goes to the end of the queue, under the next nonce.
func (c *Candidate) handOverTxn(successor Key, lease int64) Txn {
	waiting := QueuePrefix(c.path) + successor.Nonce
	then := append(c.putTerm(successor.Nonce, successor.Data, successor.Lease),
		del(TermPrefix(c.path)+c.key.Nonce), del(waiting), del(TransferKey(c.path)))
	if lease != 0 {
		then = append(then, put(QueuePrefix(c.path)+c.next, c.data, lease))
	}
	return Txn{If: append(c.guard(), modified(waiting, successor.Mod)), Then: then, Else: ReadAll(c.path)}
}

// resignTxn ends the term with nobody to follow. Where gap is false it does so only if nobody waits.
func (c *Candidate) resignTxn(gap bool) Txn {
	cond := c.guard()
	if !gap {
		cond = append(cond, none(QueuePrefix(c.path)))
	}
	return Txn{
		If:   cond,
		Then: []Op{del(c.path), del(TermPrefix(c.path) + c.key.Nonce), del(TransferKey(c.path))},
		Else: ReadAll(c.path),
	}
}

// renewTxn begins a new term of the same leader, under the next nonce.
func (c *Candidate) renewTxn(lease int64) Txn {
	return Txn{
		If:   c.guard(),
		Then: append(c.putTerm(c.next, c.data, lease), del(TermPrefix(c.path)+c.key.Nonce), del(TransferKey(c.path))),
		Else: ReadAll(c.path),
	}
}

// repairTxn begins a new term where the candidate's term key was deleted by hand, but PATH is still its own.
func (c *Candidate) repairTxn(lease int64) Txn {
	return Txn{
		If:   c.stranded(),
		Then: append(c.putTerm(c.next, c.data, lease), del(TransferKey(c.path))),
		Else: ReadAll(c.path),
	}
}

// clearTxn removes PATH where the candidate's term key was deleted by hand.
func (c *Candidate) clearTxn() Txn {
	return Txn{If: c.stranded(), Then: []Op{del(c.path)}, Else: ReadAll(c.path)}
}

func (c *Candidate) stranded() []Cmp {
	return []Cmp{none(TermPrefix(c.path)), modified(c.path, c.pathMod)}
}

// dropTxn gives up a term whose PATH was overwritten by somebody else, and leaves PATH alone.
func (c *Candidate) dropTxn() Txn {
	key := TermPrefix(c.path) + c.key.Nonce
	return Txn{
		If:   []Cmp{created(key, c.key.Create)},
		Then: []Op{del(key), del(TransferKey(c.path))},
		Else: ReadAll(c.path),
	}
}

// rewriteTxn puts the candidate's data anew, or the same data on another lease. Token and place are CreateRevisions and
// stay as they are.
func (c *Candidate) rewriteTxn(lease int64) Txn {
	if c.place == Queued {
		key := QueuePrefix(c.path) + c.key.Nonce
		return Txn{
			If: []Cmp{modified(key, c.key.Mod)}, Then: []Op{put(key, c.data, lease)}, Else: ReadAll(c.path),
		}
	}
	return Txn{
		If:   []Cmp{modified(TermPrefix(c.path)+c.key.Nonce, c.key.Mod), modified(c.path, c.key.Mod)},
		Then: c.putTerm(c.key.Nonce, c.data, lease),
		Else: ReadAll(c.path),
	}
}

// refuseTxn removes a transfer request that cannot be obeyed.
func (c *Candidate) refuseTxn(request Key) Txn {
	return Txn{
		If:   append(c.guard()[:1], modified(TransferKey(c.path), request.Mod)),
		Then: []Op{del(TransferKey(c.path))},
		Else: ReadAll(c.path),
	}
}

// RequestTransfer asks the term that the view shows to hand over to the candidate with that id, or to the next in line if
// it is empty. It is not ok where that was asked of this term already. A request to an earlier term is replaced.
func RequestTransfer(path string, v *View, id string, lease int64) (t Txn, ok bool) {
	if !v.Term.Exists() {
		return Txn{}, false
	}
	seen := int64(0)
	if token, _, ok := ParseTransfer(v.Transfer.Data); v.Transfer.Exists() {
		if ok && token == v.Term.Create && v.Transfer.Lease != lease { // its own is put anew
			return Txn{}, false
		}
		seen = v.Transfer.Mod
	}
	return Txn{
		If:   []Cmp{created(TermPrefix(path)+v.Term.Nonce, v.Term.Create), unchanged(TransferKey(path), seen)},
		Then: []Op{put(TransferKey(path), TransferData(v.Term.Create, id), lease)},
	}, true
}
