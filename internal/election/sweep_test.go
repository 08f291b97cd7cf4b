package election

import (
	"strings"
	"testing"
)

// Law 11: what late transactions left on our lease is removed, by transactions that harm nobody if they come late too.
func TestLaw11Sweep(t *testing.T) {
	const (
		ours   = "PATH=a:::1@2/2/1 term/a.1=a:::1@2/2/1"
		theirs = "PATH=b:::2@2/2/7 term/b.1=b:::2@2/2/7"
	)
	for _, c := range []struct {
		name, keys, owned string
		busy, gap         bool
		want              string
	}{
		{name: "nothing"},
		{name: "all owned", keys: ours + " queue/a.2=a:::1@3/3/1", owned: "a.1 a.2"},
		{name: "on another lease", keys: theirs + " queue/c.1=c:::1@3/3/7"},
		{
			name: "queue keys", keys: theirs + " queue/a.1=a:::1@3/3/1 queue/a.2=a:::1@4/5/1", owned: "a.2",
			want: "if   create of queue/a.1 = 3|then delete queue/a.1|else read all",
		},
		{
			name: "a term that nobody follows", keys: ours,
			want: "if   create of term/a.1 = 2, mod of PATH < 3, no queue/*|" +
				"then delete PATH, delete term/a.1, delete transfer|else read all",
		},
		{
			name: "a term and its follower, after a key that goes too", keys: ours + " queue/a.2=a:::1@3/3/1 queue/b.1=b:::2@4/4/7",
			want: "if   create of queue/a.2 = 3|then delete queue/a.2|else read all|" +
				"if   create of term/a.1 = 2, mod of PATH < 3, mod of queue/b.1 = 4|" +
				"then put PATH = b:::2 on 7, put term/b.1 = b:::2 on 7, delete term/a.1, delete queue/b.1, delete transfer|else read all",
		},
		{
			name: "a term whose follower's lease must not be used", keys: ours + " queue/b.1=b:::2@4/4/7", gap: true,
			want: "if   create of term/a.1 = 2, mod of PATH < 3|then delete PATH, delete term/a.1, delete transfer|else read all",
		},
		{
			name: "a term whose PATH was overwritten", keys: "PATH=x@2/3/0 term/a.1=a:::1@2/2/1 queue/b.1=b:::2@4/4/7",
			want: "if   create of term/a.1 = 2|then delete term/a.1, delete transfer|else read all",
		},
		{
			name: "a term whose PATH was deleted", keys: "term/a.1=a:::1@2/2/1",
			want: "if   create of term/a.1 = 2, mod of PATH < 3, no queue/*|" +
				"then delete PATH, delete term/a.1, delete transfer|else read all",
		},
		{
			name: "PATH without a term", keys: "PATH=a:::1@2/5/1",
			want: "if   no term/*, mod of PATH = 5|then delete PATH|else read all",
		},
		{name: "PATH that may be about to be repaired", keys: "PATH=a:::1@2/5/1", busy: true},
		{name: "PATH of a stranger", keys: "PATH=x@2/5/0"},
	} {
		v := viewOf(9, strings.Fields(c.keys)...)
		owned := func(nonce string) bool { return strings.Contains(" "+c.owned+" ", " "+nonce+" ") }
		var got string
		for _, txn := range Sweep(path, &v, 1, owned, c.busy, c.gap) {
			got += transaction(txn, "")
		}
		if got = strings.ReplaceAll(strings.TrimSpace(got), "\n", "|"); got != c.want {
			t.Errorf("%s:\n got: %s\nwant: %s", c.name, got, c.want)
		}
	}
}
