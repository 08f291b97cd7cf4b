package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// protocol is how the system that is tried uses its keys.
type protocol interface {
	// inForce gives the token of the term that holds, by the keys of an election; 0 if there is none.
	inForce(path string, keys map[string]Change) int64
	// owner gives who holds the term with a token, by the keys of an election.
	owner(path string, keys map[string]Change, token int64) string
	// check judges the keys of an election at one revision, and those of the revision before.
	check(path string, before, after map[string]Change, expired bool) (promise, text string)
	// next gives who waits in front of all others, empty if nobody does.
	next(path string, keys map[string]Change) string
}

// replay goes through etcd's history, revision by revision, with the keys of each election.
type replay struct {
	h        *History
	keys     []map[string]Change // by election
	leases   map[int64]int       // how many keys are on it
	revision int64
	changed  []Change // at this revision
	before   map[int]map[string]Change
}

// walk calls f for each revision.
func (h *History) walk(f func(r *replay)) {
	r := &replay{h: h, keys: make([]map[string]Change, h.Elections), leases: map[int64]int{}}
	for e := range r.keys {
		r.keys[e] = map[string]Change{}
	}
	for i := 0; i < len(h.Changes); {
		end := i
		for end < len(h.Changes) && h.Changes[end].Revision == h.Changes[i].Revision {
			end++
		}
		r.step(h.Changes[i:end])
		f(r)
		i = end
	}
}

func (r *replay) step(changed []Change) {
	r.revision, r.changed, r.before = changed[0].Revision, changed, map[int]map[string]Change{}
	for _, c := range changed {
		e := r.h.electionOf(c.Key)
		if e < 0 {
			continue
		}
		if r.before[e] == nil {
			r.before[e] = maps.Clone(r.keys[e])
		}
		if old, ok := r.keys[e][c.Key]; ok {
			r.leases[old.Lease]--
		}
		if c.Deleted {
			delete(r.keys[e], c.Key)
			continue
		}
		r.keys[e][c.Key] = c
		r.leases[c.Lease]++
	}
}

// expired reports whether a key vanished with its lease: then nothing else is left on that.
func (r *replay) expired(e int, key string) bool {
	old, there := r.before[e][key]
	_, still := r.keys[e][key]
	return there && !still && r.leases[old.Lease] == 0
}

// electionOf gives the election that a key belongs to, -1 for other keys and for registers.
func (h *History) electionOf(key string) int {
	rest, ok := strings.CutPrefix(key, h.Prefix+"e")
	if !ok {
		return -1
	}
	n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		n = len(rest)
	}
	for e := range h.Elections {
		if rest[:n] == fmt.Sprint(e) {
			return e
		}
	}
	return -1
}

// register gives the election whose register a change wrote, and what.
func (h *History) register(c Change) (e int, v Value, ok bool) {
	for e := range h.Elections {
		if c.Key == registerKey(h.Prefix, e) && json.Unmarshal([]byte(c.Value), &v) == nil {
			return e, v, true
		}
	}
	return -1, v, false
}

// registers gives the revision of each write that was committed.
func (h *History) registers() []map[Value]int64 {
	all := make([]map[Value]int64, h.Elections)
	for e := range all {
		all[e] = map[Value]int64{}
	}
	for _, c := range h.Changes {
		if e, v, ok := h.register(c); ok {
			all[e][v] = c.Revision
		}
	}
	return all
}

// checkKeys holds the history of etcd against what is promised of it.
func checkKeys(h *History, p protocol) (found []Violation) {
	last := make([]int64, h.Elections)
	written := make([]map[Value]int64, h.Elections) // at which revision
	for e := range written {
		written[e] = map[Value]int64{}
	}
	h.walk(func(r *replay) {
		add := func(promise string, e int, format string, args ...any) {
			found = append(found, Violation{Promise: promise, Election: e, At: r.changed[0].Seen, Text: fmt.Sprintf(format, args...)})
		}
		for e, before := range r.before {
			path := electionPath(h.Prefix, e)
			if promise, text := p.check(path, before, r.keys[e], r.expired(e, path)); promise != "" {
				add(promise, e, "at revision %d %s", r.revision, text)
			}
			token := p.inForce(path, r.keys[e])
			if token != 0 && token < last[e] {
				add(tokensGrow, e, "at revision %d the term with token %d follows that with %d", r.revision, token, last[e])
			}
			last[e] = max(last[e], token)
		}
		for _, c := range r.changed {
			e, v, ok := h.register(c)
			if !ok {
				continue
			}
			if token := p.inForce(electionPath(h.Prefix, e), r.keys[e]); token != v.Token {
				add(fencedWrites, e, "write %d of %s with token %d was committed at revision %d, in the term with token %d",
					v.Seq, v.Who, v.Token, r.revision, token)
			}
			if before, twice := written[e][v]; twice {
				add(fencedWrites, e, "write %d of %s with token %d was committed at revision %d, and again at %d", v.Seq, v.Who, v.Token, before, r.revision)
			}
			written[e][v] = r.revision
		}
	})
	return found
}

// owners gives who had each term that was in force.
func (h *History) owners(p protocol) []map[int64]string {
	owners := make([]map[int64]string, h.Elections)
	for e := range owners {
		owners[e] = map[int64]string{}
	}
	h.walk(func(r *replay) {
		for e := range r.before {
			path := electionPath(h.Prefix, e)
			if token := p.inForce(path, r.keys[e]); token != 0 {
				owners[e][token] = p.owner(path, r.keys[e], token)
			}
		}
	})
	return owners
}

// checkBeliefs finds somebody who believed in a term that was never his.
func checkBeliefs(h *History, p protocol) (found []Violation) {
	owners := h.owners(p)
	for _, b := range h.Beliefs {
		if owner := owners[b.Election][b.Token]; owner != b.Who {
			found = append(found, Violation{Promise: noPhantom, Election: b.Election, At: b.First, Text: fmt.Sprintf(
				"%s believed to lead with token %d, which is that of %q", b.Who, b.Token, owner)})
		}
	}
	return found
}

// lockedKeys is this library's protocol.
type lockedKeys struct{}

func terms(path string, keys map[string]Change) (list []Change) {
	for k, c := range keys {
		if strings.HasPrefix(k, path+":::term/") {
			list = append(list, c)
		}
	}
	return list
}

func (lockedKeys) inForce(path string, keys map[string]Change) int64 {
	if list := terms(path, keys); len(list) == 1 {
		return list[0].Create
	}
	return 0
}

func (lockedKeys) owner(path string, keys map[string]Change, token int64) string {
	for _, c := range terms(path, keys) {
		if c.Create == token {
			id, _, _ := strings.Cut(c.Value, ":::")
			return id
		}
	}
	return ""
}

func (lockedKeys) check(path string, before, after map[string]Change, expired bool) (promise, text string) {
	list := terms(path, after)
	at, held := after[path]
	switch {
	case len(list) > 1:
		return oneValue, fmt.Sprintf("there are %d terms", len(list))
	case len(list) == 1 && list[0].Value != at.Value:
		return oneValue, fmt.Sprintf("the path holds %q, the term %q", at.Value, list[0].Value)
	case len(list) == 0 && held:
		return oneValue, fmt.Sprintf("the path holds %q, and there is no term", at.Value)
	}
	if len(list) == 1 && !inTurn(path, before, list[0]) {
		return firstServed, fmt.Sprintf("%q was elected, and somebody else was first in the queue", list[0].Value)
	}
	if _, had := before[path]; had && !held && !expired {
		for k := range after {
			if strings.HasPrefix(k, path+":::queue/") {
				return noGap, "a leader left the path empty while somebody waited"
			}
		}
	}
	return "", ""
}

// inTurn reports whether a term is an old one, or that of who was first in the queue, or a new one of the same leader.
// Somebody else is elected only where nobody waits, or a transfer asked for it.
func inTurn(path string, before map[string]Change, term Change) bool {
	if _, old := before[term.Key]; old {
		return true
	}
	head := first(path+":::queue/", before)
	_, asked := before[path+":::transfer"]
	return head.Key == "" || asked || before[path].Value == term.Value ||
		strings.TrimPrefix(head.Key, path+":::queue/") == strings.TrimPrefix(term.Key, path+":::term/")
}

// first gives the oldest key with a prefix.
func first(prefix string, keys map[string]Change) (found Change) {
	for k, c := range keys {
		if strings.HasPrefix(k, prefix) && (found.Create == 0 || c.Create < found.Create) {
			found = c
		}
	}
	return found
}

func (lockedKeys) next(path string, keys map[string]Change) string {
	head := first(path+":::queue/", keys)
	id, _, _ := strings.Cut(head.Value, ":::")
	return id
}

// concurrencyKeys is that of etcd's own Election: the oldest key leads.
type concurrencyKeys struct{}

func (concurrencyKeys) inForce(path string, keys map[string]Change) int64 {
	return first(path+"/", keys).Create
}

func (concurrencyKeys) owner(path string, keys map[string]Change, token int64) string {
	return first(path+"/", keys).Value
}

func (concurrencyKeys) check(string, map[string]Change, map[string]Change, bool) (promise, text string) {
	return "", ""
}

// next is nobody: who is first leads.
func (concurrencyKeys) next(string, map[string]Change) string { return "" }

// handovers counts the terms that began in the revision in which the one before ended.
func (h *History) handovers(p protocol) (n int) {
	h.walk(func(r *replay) {
		for e, before := range r.before {
			path := electionPath(h.Prefix, e)
			was, is := p.inForce(path, before), p.inForce(path, r.keys[e])
			if was != 0 && is != 0 && is != was {
				n++
			}
		}
	})
	return n
}
