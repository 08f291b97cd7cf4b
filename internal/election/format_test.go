package election

import (
	"fmt"
	"slices"
	"strings"
)

// action writes an action as traces and scripts show it.
func action(a Action) string {
	switch a.Do {
	case Ask:
		return fmt.Sprintf("ask %d: %s", a.Seq, a.Kind)
	case Select:
		return fmt.Sprintf("select %d", a.Token)
	case Deselect:
		causes := [...]string{"none", "lapsed", "transferred", "stopped", "removed", "unhealthy"}
		return fmt.Sprintf("deselect %d: %s", a.Token, causes[a.Cause])
	case Wait:
		return fmt.Sprintf("wait, attempt %d", a.Attempt)
	case Foreign:
		return "foreign"
	case Out:
		return "out"
	}
	return fmt.Sprint(a)
}

// transaction writes a transaction for scripts, a line for each branch.
func transaction(t Txn, indent string) string {
	var b strings.Builder
	if len(t.If) > 0 {
		var parts []string
		for _, c := range t.If {
			parts = append(parts, compare(c))
		}
		fmt.Fprintf(&b, "%sif   %s\n", indent, strings.Join(parts, ", "))
	}
	branch(&b, indent, "then", t.Then)
	branch(&b, indent, "else", t.Else)
	return b.String()
}

func branch(b *strings.Builder, indent, name string, ops []Op) {
	var parts []string
	for i, op := range ops {
		switch op.Kind {
		case Put:
			parts = append(parts, fmt.Sprintf("put %s = %s on %d", short(op.Key), op.Value, op.Lease))
		case Delete:
			parts = append(parts, "delete "+short(op.Key))
		case Get:
			if slices.Equal(ops[i:], ReadAll(path)) {
				fmt.Fprintf(b, "%s%s %s\n", indent, name, strings.Join(append(parts, "read all"), ", "))
				return
			}
		case Nested:
			fmt.Fprintf(b, "%s%s\n%s", indent, name, transaction(*op.Txn, indent+"  "))
			name = "and "
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(b, "%s%s %s\n", indent, name, strings.Join(parts, ", "))
	}
}

func compare(c Cmp) string {
	field := [...]string{"create", "mod"}[c.Field]
	switch {
	case c.Rev == 0 && c.Op == '=':
		return "no " + ranged(c.Key, c.Prefix)
	default:
		return fmt.Sprintf("%s of %s %c %d", field, ranged(c.Key, c.Prefix), c.Op, c.Rev)
	}
}

func ranged(key string, prefix bool) string {
	if prefix {
		return short(key) + "*"
	}
	return short(key)
}

// short is a key without what all keys begin with.
func short(key string) string {
	if key == path {
		return "PATH"
	}
	return strings.TrimPrefix(key, Prefix(path))
}

// long is the reverse of short.
func long(name string) string {
	if name == "PATH" {
		return path
	}
	return Prefix(path) + name
}

// standing is a line on where a candidate stands.
func standing(c *Candidate, v *View, h *Holding) string {
	var b strings.Builder
	b.WriteString([...]string{"nowhere", "queued", "elected", "stranded"}[c.place])
	if c.key.Exists() {
		fmt.Fprintf(&b, " with %s = %s @%d/%d/%d", c.key.Nonce, c.key.Data, c.key.Create, c.key.Mod, c.key.Lease)
	}
	if _, ok := c.Leading(); ok {
		fmt.Fprintf(&b, ", leads %d until %d", c.token, c.Until(h))
	}
	for _, l := range h.Leases {
		if c.Names(l.ID) && l.ID != c.key.Lease {
			fmt.Fprintf(&b, ", names lease %d", l.ID)
		}
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{
		{c.working, "works"},
		{c.overdue, "overdue"},
		{c.asked != Idle, "asks"},
		{c.doubt, "doubts"},
		{c.waiting, "waits"},
		{c.NeedsPath(v), "needs PATH"},
		{c.Gone(), "gone"},
	} {
		if flag.on {
			b.WriteString(", " + flag.name)
		}
	}
	return b.String()
}
