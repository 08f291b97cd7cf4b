package election

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// packer writes down all of a world that the future depends on, so that worlds which differ only in names look the same:
//
//   - Revisions become their ranks. The protocol compares revisions and does not count with them, and a new one is larger
//     than all there are.
//   - Leases and nonces are numbered as they come. What nothing refers to any more is left out.
//   - Times are what is left of them. Where nothing is left it does not matter since when.
//   - Processes are put in an order that does not depend on their ids.
//
// Left out are also what a law only remembers (what a nonce was given up for, what once was at a revision) and values that
// are set anew before they are read.
type packer struct {
	w      *world
	as     []int // an order of the processes, if it is given; what was read is then packed in the order of revisions too
	buf    []byte
	revs   []int64 // in the order in which they came: they are ranked at the end
	rank   []byte
	nonces []string
	leases []int64
	order  []int  // slots of processes in their order here
	places []byte // and the reverse
}

// fingerprint stands for a packed world. Both halves are independent hashes.
type fingerprint struct{ a, b uint64 }

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

func (k *packer) fingerprint(w *world) fingerprint {
	k.pack(w)
	return hash(k.buf)
}

func hash(packed []byte) fingerprint {
	return fingerprint{maphash.Bytes(seedA, packed), maphash.Bytes(seedB, packed)}
}

func (k *packer) pack(w *world) {
	k.w, k.buf, k.revs, k.nonces, k.leases = w, k.buf[:0], k.revs[:0], k.nonces[:0], k.leases[:0]
	k.sort()
	for _, n := range w.left.of {
		k.byte(byte(n))
	}
	k.backup()
	k.byte(byte(w.left.all))
	k.rev(w.etcd.rev)
	k.stored(w.etcd.keys)
	for _, slot := range k.order {
		k.proc(w.procs[slot])
	}
	k.number(len(w.late))
	for _, f := range w.late {
		k.flight(f)
	}
	k.laws()
	k.lifetimes()
	k.ranks()
}

// sort finds an order of the processes that does not depend on their ids, as far as that is easy.
func (k *packer) sort() {
	k.order, k.places = k.order[:0], k.places[:0]
	for slot := range k.w.procs {
		k.order, k.places = append(k.order, slot), append(k.places, 0)
	}
	if k.as != nil {
		copy(k.order, k.as)
	} else {
		slices.SortStableFunc(k.order, func(a, b int) int { return k.w.procs[a].compare(k.w.procs[b]) })
	}
	for place, slot := range k.order {
		k.places[slot] = byte(place)
	}
}

func (p *proc) compare(other *proc) int {
	a, b := p.cand, other.cand
	return cmp.Or(
		cmp.Compare(a.key.Create, b.key.Create), cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place),
		cmp.Compare(p.view.Revision, other.view.Revision), cmp.Compare(a.asked, b.asked), cmp.Compare(a.key.Mod, b.key.Mod),
		cmp.Compare(p.view.PathRevision, other.view.PathRevision), cmp.Compare(a.spent, b.spent),
		cmp.Compare(p.watched, other.watched), cmp.Compare(p.hold.Deadline(p.hold.Current), other.hold.Deadline(other.hold.Current)),
		cmp.Compare(len(p.hold.Leases), len(other.hold.Leases)), cmp.Compare(len(p.leases), len(other.leases)),
		cmp.Compare(p.values, other.values), cmp.Compare(a.fails, b.fails), compareBools(p.wants, other.wants),
		compareBools(a.doubt, b.doubt), compareBools(p.flight != nil && p.flight.applied, other.flight != nil && other.flight.applied),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (k *packer) byte(b byte)  { k.buf = append(k.buf, b) }
func (k *packer) number(n int) { k.buf = append(k.buf, byte(n), byte(n>>8)) }

func (k *packer) bools(all ...bool) {
	var b byte
	for i, on := range all {
		if on {
			b |= 1 << (i % 8)
		}
		if i%8 == 7 || i == len(all)-1 {
			k.byte(b)
			b = 0
		}
	}
}

// rev packs a revision: the number itself where etcd may go back or has, since then new ones are not larger than all there are.
func (k *packer) rev(r int64) {
	if k.w.backs > 0 || k.w.may(goBack) {
		k.byte(byte(r))
		return
	}
	k.revs = append(k.revs, r)
}

// backup packs what etcd may go back to.
func (k *packer) backup() {
	if k.bools(k.w.saved != nil, k.w.backs > 0); k.w.saved == nil || !k.w.may(goBack) {
		return
	}
	k.rev(k.w.saved.etcd.rev)
	k.stored(k.w.saved.etcd.keys)
	k.seed(k.w.saved.mirror)
}

// ranks writes the revisions, each as its rank among all that there are.
func (k *packer) ranks() {
	k.rank = slices.Grow(k.rank[:0], int(k.w.etcd.rev)+2)[:k.w.etcd.rev+2]
	clear(k.rank)
	k.rank[0] = 1
	for _, r := range k.revs {
		k.rank[r] = 1
	}
	n := byte(0)
	for r, there := range k.rank {
		k.rank[r] = n
		n += there
	}
	for _, r := range k.revs {
		k.byte(k.rank[r])
	}
}

// left is how much is left until a time.
func (k *packer) left(at time.Duration) { k.number(int(max(0, at-k.w.now))) }

func (k *packer) raft(term uint64) { k.byte(byte(k.w.raft - term)) }

func (k *packer) lease(id int64) {
	if id == 0 {
		k.byte(0)
		return
	}
	i := slices.Index(k.leases, id)
	if i < 0 {
		i = len(k.leases)
		k.leases = append(k.leases, id)
	}
	k.byte(byte(i + 1))
}

func (k *packer) nonce(s string) {
	if s == "" {
		k.byte(0)
		return
	}
	i := slices.Index(k.nonces, s)
	if i >= 0 {
		k.byte(byte(i + 1))
		return
	}
	k.nonces = append(k.nonces, s)
	k.byte(byte(len(k.nonces)))
	k.seed(owner(s))
}

// seed is a process: its place, or that it is one that has died.
func (k *packer) seed(seed string) {
	if seed != "" && seed[0] >= 'a' && int(seed[0]-'a') < len(k.w.procs) && k.w.procs[seed[0]-'a'].seed == seed {
		k.byte(1 + k.places[seed[0]-'a'])
		return
	}
	k.byte(0xff)
}

// id is a candidate's, which a process keeps when it has died and started again.
func (k *packer) id(id string) {
	if len(id) == 1 && int(id[0]-'a') < len(k.w.procs) {
		k.byte(1 + k.places[id[0]-'a'])
		return
	}
	k.byte(0xf0 + byte(len(id)))
}

// data is what a candidate has put, or a stranger, or a request for a transfer.
func (k *packer) data(s string) {
	id, value, ok := Split(s)
	switch {
	case !ok:
		k.byte(0xf0 + byte(len(s)))
	case id != "" && id[0] >= '0' && id[0] <= '9':
		token, id, _ := ParseTransfer(s)
		k.rev(token)
		k.byte(0xef)
		k.id(id)
	default:
		k.id(id)
		k.byte(value[0])
	}
}

func (k *packer) key(key Key) {
	if !key.Exists() {
		k.byte(0)
		return
	}
	k.byte(1)
	k.nonce(key.Nonce)
	k.data(key.Data)
	k.rev(key.Create)
	k.rev(key.Mod)
	k.lease(key.Lease)
}

const (
	termPrefix  = path + Separator + "term/"
	queuePrefix = path + Separator + "queue/"
)

// name is that of an etcd key, or what such names begin with.
func (k *packer) name(s string) {
	switch {
	case s == path:
		k.byte(1)
	case strings.HasPrefix(s, termPrefix):
		k.byte(2)
		k.nonce(s[len(termPrefix):])
	case strings.HasPrefix(s, queuePrefix):
		k.byte(3)
		k.nonce(s[len(queuePrefix):])
	default:
		k.byte(4)
	}
}

func (k *packer) changes(all []Change) {
	if k.as != nil {
		all = slices.SortedStableFunc(slices.Values(all), func(a, b Change) int { return cmp.Compare(a.Key.Create, b.Key.Create) })
	}
	k.number(len(all))
	for _, c := range all {
		k.name(c.Name)
		if c.Deletion {
			k.byte(0)
		} else {
			k.key(c.Key)
		}
	}
}

// stored packs etcd's keys, the queue in its order.
func (k *packer) stored(keys []kv) {
	k.number(len(keys))
	var queue [8]kv
	q := queue[:0]
	for _, key := range keys {
		if strings.HasPrefix(key.name, queuePrefix) {
			q = append(q, key)
			continue
		}
		k.name(key.name)
		k.key(key.key)
	}
	slices.SortFunc(q, func(a, b kv) int { return cmp.Compare(a.key.Create, b.key.Create) })
	for _, key := range q {
		k.name(key.name)
		k.key(key.key)
	}
}

// laws packs what the laws remember, as far as it counts for what is still to come.
func (k *packer) laws() {
	w := k.w
	k.rev(w.selected)
	k.seed(w.mirror)
	k.bools(w.mirror == "", w.raft > 1, w.wish != nil)
	if w.wish != nil {
		k.snapshot(*w.wish)
	}
	term := w.term()
	for _, request := range w.requests {
		if token, id, _ := ParseTransfer(request); token == term.Create {
			k.id(id)
		}
	}
	k.byte(0)
}

// lifetimes packs what etcd knows of the leases that anything refers to.
func (k *packer) lifetimes() {
	for _, id := range k.leases {
		k.byte(k.holder(id))
		if s := k.w.saved; s != nil && k.w.may(goBack) {
			k.bools(s.etcd.granted(id))
		}
		if l := k.w.life(id); l != nil {
			k.byte(1)
			k.left(l.until)
			k.raft(l.raft)
		} else {
			k.byte(0)
		}
	}
}

// holder is the process that a lease was granted to, if it lives.
func (k *packer) holder(id int64) byte {
	for slot, p := range k.w.procs {
		if slices.Contains(p.leases, id) {
			return 1 + k.places[slot]
		}
	}
	return 0
}
