package election

import (
	"strconv"
	"time"
)

// lapse ends a belief that has run out, before anything in the input can move its end: what comes too late revives nothing.
func (c *Candidate) lapse(in Input, out []Action) []Action {
	if c.believing && in.At >= c.Until(in.Holding) {
		return c.deselect(Lapsed, out)
	}
	return out
}

// believe ends or begins the candidate's belief to lead, by what it knows now.
func (c *Candidate) believe(in Input, out []Action) []Action {
	if c.believing {
		if cause := c.ended(in); cause != None {
			out = c.deselect(cause, out)
		}
	}
	if !c.believing && c.elected(in) {
		c.believing, c.working, c.token = true, c.guarded, c.key.Create
		out = append(out, Action{Do: Select, Token: c.token})
	}
	return out
}

func (c *Candidate) deselect(cause Cause, out []Action) []Action {
	c.believing, c.spent = false, c.token
	return append(out, Action{Do: Deselect, Cause: cause, Token: c.token})
}

// ended tells why the term that is believed in has ended, None if it has not.
func (c *Candidate) ended(in Input) Cause {
	switch {
	case c.place != Elected || c.key.Create != c.token || c.overwritten(in.View):
		return Removed
	case in.What == Expired || in.At >= c.Until(in.Holding):
		return Lapsed
	case !c.want:
		return c.cause
	case c.successor(in.View).Exists():
		return Transferred
	}
	return None
}

// elected reports whether the candidate may begin to believe in its term. Only one that it has never believed in will do,
// on a lease that is proven to be alive, after the work of the last term has ended, and not to hand it over at once.
func (c *Candidate) elected(in Input) bool {
	return c.want && c.place == Elected && c.key.Create > c.spent && !c.working &&
		!c.overwritten(in.View) && !c.suspicious(in.View) && !c.successor(in.View).Exists() && in.At < c.Until(in.Holding)
}

// Until is the reading of the clock at which belief in the candidate's term ends: that of the lease that its key is on, and
// of any other that the key may have been moved to by now.
func (c *Candidate) Until(h *Holding) time.Duration {
	deadline := h.Deadline(c.key.Lease)
	if c.asked == Rewrite && c.askedMod == c.key.Mod {
		deadline = min(deadline, h.Deadline(c.askedLease))
	}
	if c.unsettled() {
		for _, lease := range c.lost {
			deadline = min(deadline, h.Deadline(lease))
		}
	}
	return deadline - c.grace
}

// successor is whom a transfer request addressed to the candidate's term names, if it waits.
func (c *Candidate) successor(v *View) Key {
	id, ok := c.request(v)
	switch {
	case !ok:
		return Key{}
	case id == "":
		return v.Head()
	default:
		return v.WaitingID(id)
	}
}

// follower is the first that waits. A view that is older than the candidate's term may still show the candidate itself there.
func (c *Candidate) follower(v *View) Key {
	for _, k := range v.Queue {
		if k.Nonce != c.nonce {
			return k
		}
	}
	return Key{}
}

// request is the id in a transfer request addressed to the candidate's term.
func (c *Candidate) request(v *View) (id string, ok bool) {
	if c.place != Elected || v.Revision < c.at || !v.Transfer.Exists() {
		return "", false
	}
	token, id, ok := ParseTransfer(v.Transfer.Data)
	return id, ok && token == c.key.Create
}

// decide picks the transaction that brings the candidate nearer to what is wanted, if none is under way.
func (c *Candidate) decide(in Input, out []Action) []Action {
	if c.asked != Idle || c.waiting {
		return out
	}
	if c.pause {
		c.pause, c.waiting = false, true
		return append(out, Action{Do: Wait, Attempt: c.fails})
	}
	if c.doubt || c.suspicious(in.View) {
		return c.ask(out, Read, 0, Txn{Then: ReadAll(c.path)})
	}
	switch c.place {
	case Elected:
		return c.decideElected(in, out)
	case Queued:
		return c.decideQueued(in, out)
	case Stranded:
		return c.decideStranded(in.Holding.Current, out)
	default:
		return c.decideNowhere(in.Holding.Current, out)
	}
}

func (c *Candidate) decideElected(in Input, out []Action) []Action {
	lease := in.Holding.Current
	successor := c.successor(in.View)
	switch {
	case c.believing:
		return c.decideLeading(in, out)
	case c.working && !c.overdue: // the term is given up only after the work that it guarded has ended
		return out
	case c.overwritten(in.View) && in.View.Path.Exists():
		return c.ask(c.report(in.View, out), Drop, 0, c.dropTxn())
	case !c.wanted():
		return c.handOver(c.follower(in.View), 0, out)
	case successor.Exists():
		return c.handOver(successor, lease, out)
	case lease == 0:
		return out
	case c.key.Create <= c.spent || c.overwritten(in.View):
		c.renew()
		return c.ask(out, NewTerm, lease, c.renewTxn(lease))
	case c.stale(lease): // elected on a lease that is not proven to be alive
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

func (c *Candidate) decideLeading(in Input, out []Action) []Action {
	lease := in.Holding.Current
	if _, ok := c.request(in.View); ok { // and nobody there to hand over to, or the term would have ended
		return c.ask(out, Refuse, 0, c.refuseTxn(in.View.Transfer))
	}
	if lease != 0 && c.stale(lease) {
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

// stale reports whether the key must be put anew: with other data, on another lease, or to be sure of both.
func (c *Candidate) stale(lease int64) bool {
	return c.key.Lease != lease || c.key.Data != c.data || c.unsettled()
}

// handOver gives the term to a waiting candidate. With a lease the candidate goes to the end of the queue.
func (c *Candidate) handOver(successor Key, lease int64, out []Action) []Action {
	if gap := successor.Exists() && successor.Lease == c.gap; gap || !successor.Exists() {
		return c.ask(out, Resign, 0, c.resignTxn(gap))
	}
	c.heir = successor.Lease
	if lease != 0 {
		c.renew()
	}
	return c.ask(out, HandOver, lease, c.handOverTxn(successor, lease))
}

func (c *Candidate) decideQueued(in Input, out []Action) []Action {
	lease, v := in.Holding.Current, in.View
	head := v.Revision >= c.at && !v.Term.Exists() && v.Head().Nonce == c.nonce
	switch {
	case !c.wanted():
		return c.ask(out, Exit, 0, c.leaveTxn())
	case lease == 0:
		return out
	case head && v.Barred():
		out = c.report(v, out)
	case head:
		return c.ask(out, Claim, lease, c.claimTxn(lease))
	}
	if c.stale(lease) {
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

func (c *Candidate) decideStranded(lease int64, out []Action) []Action {
	switch {
	case c.working && !c.overdue:
		return out
	case !c.wanted():
		return c.ask(out, Clear, 0, c.clearTxn())
	case lease == 0:
		return out
	}
	c.renew()
	return c.ask(out, Repair, lease, c.repairTxn(lease))
}

func (c *Candidate) decideNowhere(lease int64, out []Action) []Action {
	switch {
	case c.wanted() && lease != 0:
		if c.nonce == "" {
			c.nonce = c.fresh()
		}
		return c.ask(out, Entry, lease, c.enterTxn(lease))
	case !c.want && !c.out && !c.working:
		c.forget()
		c.out = true
		return append(out, Action{Do: Out})
	}
	return out
}

// ask sends a transaction. Its nonces are the candidate's own before it leaves. A term that it would end is not believed in
// from now on, whatever is heard of it and whatever is wanted by then.
func (c *Candidate) ask(out []Action, kind Kind, lease int64, txn Txn) []Action {
	switch kind {
	case HandOver, Resign, NewTerm, Drop:
		c.spent = max(c.spent, c.key.Create)
	}
	c.seq++
	c.asked, c.askedLease, c.askedData, c.askedMod = kind, lease, c.data, c.key.Mod
	return append(out, Action{Do: Ask, Seq: c.seq, Kind: kind, Txn: txn})
}

// renew makes sure that there is a nonce for the next key. It stays the same until that key is known to be put, so that
// a transaction can be repeated.
func (c *Candidate) renew() {
	if c.next == "" {
		c.next = c.fresh()
	}
}

func (c *Candidate) fresh() string {
	c.serial++
	return c.seed + "." + strconv.Itoa(c.serial)
}

// report tells the user of a stranger at PATH, once for each of its writes.
func (c *Candidate) report(v *View, out []Action) []Action {
	if c.foreign == v.Path.Mod || !v.strange() {
		return out
	}
	c.foreign = v.Path.Mod
	return append(out, Action{Do: Foreign})
}
