package election

import (
	"strconv"
	"time"
)

// believe ends or begins the candidate's belief to lead, by what it knows now.
func (c *Candidate) believe(in Input, out []Action) []Action {
	if c.believing {
		if cause := c.ended(in); cause != None {
			c.believing, c.spent = false, c.token
			out = append(out, Action{Do: Deselect, Cause: cause, Token: c.token})
		}
	}
	if !c.believing && c.elected(in) {
		c.believing, c.working, c.token = true, c.guarded, c.key.Create
		out = append(out, Action{Do: Select, Token: c.token})
	}
	return out
}

// ended tells why the term that is believed in has ended, None if it has not.
func (c *Candidate) ended(in Input) Cause {
	switch {
	case c.place != Elected || c.key.Create != c.token || c.overwritten(in.View):
		return Removed
	case in.What == Expired || in.At >= c.until(in.Holding):
		return Lapsed
	case !c.want:
		return c.cause
	case c.successor(in.View).Exists():
		return Transferred
	}
	return None
}

// elected reports whether the candidate may begin to believe in its term. Only one that it has never believed in will do,
// on a lease that is proven to be alive, and after the work of the last term has ended.
func (c *Candidate) elected(in Input) bool {
	return c.want && c.place == Elected && c.key.Create > c.spent && !c.working &&
		!c.overwritten(in.View) && in.At < c.until(in.Holding)
}

// until is the reading of the clock at which belief in the candidate's term ends.
func (c *Candidate) until(h *Holding) time.Duration { return h.Deadline(c.key.Lease) - c.grace }

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
	case c.working: // the term is given up only after the work that it guarded has ended
		return out
	case c.overwritten(in.View) && in.View.Path.Exists():
		return c.ask(c.report(in.View, out), Drop, 0, c.dropTxn())
	case !c.want:
		return c.handOver(in.View.Head(), 0, out)
	case successor.Exists():
		return c.handOver(successor, lease, out)
	case lease == 0:
		return out
	case c.key.Create <= c.spent || c.overwritten(in.View):
		c.renew()
		return c.ask(out, NewTerm, lease, c.renewTxn(lease))
	case c.key.Lease != lease: // elected on a lease that is not proven to be alive
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

func (c *Candidate) decideLeading(in Input, out []Action) []Action {
	lease := in.Holding.Current
	if _, ok := c.request(in.View); ok { // and nobody there to hand over to, or the term would have ended
		return c.ask(out, Refuse, 0, c.refuseTxn(in.View.Transfer))
	}
	if lease != 0 && (c.key.Lease != lease || c.key.Data != c.data) {
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

// handOver gives the term to a waiting candidate. With a lease the candidate goes to the end of the queue.
func (c *Candidate) handOver(successor Key, lease int64, out []Action) []Action {
	if !successor.Exists() || c.gap {
		return c.ask(out, Resign, 0, c.resignTxn(c.gap))
	}
	if lease != 0 {
		c.renew()
	}
	return c.ask(out, HandOver, lease, c.handOverTxn(successor, lease))
}

func (c *Candidate) decideQueued(in Input, out []Action) []Action {
	lease, v := in.Holding.Current, in.View
	head := v.Revision >= c.at && !v.Term.Exists() && v.Head().Nonce == c.nonce
	switch {
	case !c.want:
		return c.ask(out, Exit, 0, c.leaveTxn())
	case lease == 0:
		return out
	case head && v.Barred():
		out = c.report(v, out)
	case head:
		return c.ask(out, Claim, lease, c.claimTxn(lease))
	}
	if c.key.Lease != lease || c.key.Data != c.data {
		return c.ask(out, Rewrite, lease, c.rewriteTxn(lease))
	}
	return out
}

func (c *Candidate) decideStranded(lease int64, out []Action) []Action {
	switch {
	case c.working:
		return out
	case !c.want:
		return c.ask(out, Clear, 0, c.clearTxn())
	case lease == 0:
		return out
	}
	c.renew()
	return c.ask(out, Repair, lease, c.repairTxn(lease))
}

func (c *Candidate) decideNowhere(lease int64, out []Action) []Action {
	switch {
	case c.want && lease != 0:
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

// ask sends a transaction. Its nonces are the candidate's own before it leaves.
func (c *Candidate) ask(out []Action, kind Kind, lease int64, txn Txn) []Action {
	c.seq++
	c.asked, c.askedLease, c.askedData = kind, lease, c.data
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
	if c.foreign == v.Path.Mod {
		return out
	}
	c.foreign = v.Path.Mod
	return append(out, Action{Do: Foreign})
}
