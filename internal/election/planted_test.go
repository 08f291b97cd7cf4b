package election

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bug is one rule broken on purpose: the shipped code, but for this.
type bug struct {
	name   string
	search string // that must find it
	edits  []edit
	law    string // as broken
}

// edit replaces what stands in a file exactly once.
type edit struct{ file, old, new string }

var planted = []bug{
	{
		"a deadline counts from the receipt", "one and its leases",
		[]edit{{"lease.go", "l.sent+l.ttl-Margin(l.ttl)", "at+l.ttl-Margin(l.ttl)"}},
		"law 2",
	},
	{
		"a renewal is not verified", "one and its leases",
		[]edit{{"lease.go", "if l.acked != l.RaftTerm || raftTerm != l.RaftTerm || !l.Alive(at) {", "if !l.Alive(at) {"}},
		"law 2",
	},
	{
		"a lease is trusted in another raft term", "one and its leases",
		[]edit{{"lease.go", "if l.acked != l.RaftTerm || raftTerm != l.RaftTerm ||", "if l.acked != raftTerm ||"}},
		"law 2",
	},
	{
		"a grant is trusted whose raft term is not known", "one and a new lease",
		[]edit{{"lease.go", "if before != after || after == 0 {", "if after == 0 {"}},
		"law 2",
	},
	{
		"a late reply revives a belief", "one and its leases",
		[]edit{{"decide.go", "if c.believing && in.At >= c.Until(in.Holding) {", "if false {"}},
		"law 2",
	},
	{
		"a lease is forgotten that a lost rewrite may move the key to", "one and its leases",
		[]edit{{"decide.go", "deadline = min(deadline, h.Deadline(lease))", "_ = lease"}},
		"law 2",
	},
	{
		"who is not first claims", "three and any fault",
		[]edit{
			{"decide.go", "!v.Term.Exists() && v.Head().Nonce == c.nonce", "!v.Term.Exists()"},
			{"txn.go", "			{Key: queue, Prefix: true, Field: CreateRevision, Op: '>', Rev: c.key.Create - 1},\n", ""},
		},
		"law 5",
	},
	{
		"a claim does not look for its own place in the queue", "two, a pause and any fault",
		[]edit{{"txn.go", "modified(queue+c.key.Nonce, c.key.Mod),\n			{Key", "\n			{Key"}},
		"law 5",
	},
	{
		"a handover without the guard", "two and any two faults",
		[]edit{{"txn.go", "If: append(c.guard(), modified(waiting, successor.Mod))", "If: []Cmp{modified(waiting, successor.Mod)}"}},
		"law 1",
	},
	{
		"a handover does not look whether the successor still waits", "two and any two faults",
		[]edit{{"txn.go", "append(c.guard(), modified(waiting, successor.Mod))", "c.guard()"}},
		"section 4",
	},
	{
		"an old term is taken up again", "two and any two faults",
		[]edit{{"decide.go", "c.key.Create > c.spent && !c.working", "!c.working"}},
		"law 3",
	},
	{
		"a term is believed in that it has sent a transaction to end", "two and any two faults",
		[]edit{{"decide.go", "		c.spent = max(c.spent, c.key.Create)\n", ""}},
		"law 3",
	},
	{
		"a sweep does not ask who owns a key", "two and any two faults",
		[]edit{{"sweep.go", "k.Lease == lease && !owned(k.Nonce)", "k.Lease == lease"}},
		"law 2",
	},
	{
		"a sweep takes the PATH of who does not know yet that it was elected", "two, stops, deletions by hand and sweeps",
		[]edit{{"candidate.go", "return c.place == Queued && v.Revision < revision", "return false"}},
		"law 2",
	},
	{
		"a repair does not look at PATH", "one and a stranger",
		[]edit{{"txn.go", "[]Cmp{none(TermPrefix(c.path)), modified(c.path, c.pathMod)}", "[]Cmp{none(TermPrefix(c.path))}"}},
		"law 5",
	},
	{
		"a rewrite does not look whether its queue key is still there", "two and any two faults",
		[]edit{{"txn.go", "If: []Cmp{modified(key, c.key.Mod)}, Then: []Op{put(key, c.data, lease)}", "Then: []Op{put(key, c.data, lease)}"}},
		"law 11",
	},
	{
		"an enter does not look whether it was done before", "two enter, and requests arrive twice",
		[]edit{{"txn.go", "If:   []Cmp{created(TermPrefix(c.path)+c.nonce, 0), created(QueuePrefix(c.path)+c.nonce, 0)},\n", "\n"}},
		"section 4",
	},
	{
		"a term is given up while its work goes on", "two and their work",
		[]edit{{"decide.go", "	case c.working && !c.overdue: // the term is given up only after the work that it guarded has ended\n		return out\n", ""}},
		"law 7",
	},
	{
		"a lost put is not put again", "two and any two faults",
		[]edit{{"decide.go", "c.key.Data != c.data || c.unsettled()", "c.key.Data != c.data"}},
		"law 8",
	},
	{
		"views of an etcd that has gone back are taken for old ones", "two, and etcd goes back",
		[]edit{{"candidate.go", "c.at, c.spent, c.foreign = 0, 0, 0", "c.spent, c.foreign = 0, 0"}},
		"law 8",
	},
	{
		"a nonce is given up while an entry may still put it", "one, a pause and two faults",
		[]edit{{"candidate.go", "if c.asked != Entry {\n		c.nonce = \"\"\n	}", "c.nonce = \"\""}},
		"law 12",
	},
}

// TestPlantedBugs shows that the search finds what it is there for: each bug alone in the shipped code.
func TestPlantedBugs(t *testing.T) {
	if raceEnabled {
		t.Skip("the search is too large for the race detector")
	}
	if *most > 0 {
		t.Skip("searches to the end, which takes minutes: run it with -most 0")
	}
	for _, b := range planted {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			binary := b.build(t)
			cmd := exec.Command(binary, "-test.run", "^TestSearch$", "-most", "0", "-search", b.search)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the search has not found it:\n%s", out)
			}
			found := regexp.MustCompile(`found: (.*)\s+(.*)`).FindSubmatch(out)
			if found == nil || !strings.HasPrefix(string(found[1]), b.law) {
				t.Fatalf("the search should have found %s broken:\n%s", b.law, out)
			}
			t.Logf("%s: %s, after %s of %q", b.name, found[1], found[2], b.search)
		})
	}
}

// build gives a test binary with the bug in it.
func (b bug) build(t *testing.T) string {
	dir, replaced := t.TempDir(), map[string]string{}
	for _, e := range b.edits {
		original, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			t.Fatalf("%s has %d times what should be there once:\n%s", e.file, n, e.old)
		}
		replaced[original] = filepath.Join(dir, e.file)
		if err := os.WriteFile(replaced[original], []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "planted.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", list, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
