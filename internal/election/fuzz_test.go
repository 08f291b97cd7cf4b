package election

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// FuzzStep is a walk with the choices of the fuzzer, and all laws as its oracle. Its corpus is in testdata: see TestCorpus.
func FuzzStep(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, broken := walk(replay(data), false); broken != "" {
			report(t, 0, data, broken)
		}
	})
}

const corpus = "testdata/fuzz/FuzzStep"

// TestCorpus asks whether the walks that fuzzing begins with make every move there is, and have every transaction done,
// refused and repeated. With -rewrite it looks for walks that do.
func TestCorpus(t *testing.T) {
	if *rewrite {
		writeCorpus(t)
	}
	files, err := filepath.Glob(corpus + "/*")
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, quoted, _ := strings.Cut(string(text), "[]byte(")
		data, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
		if err != nil {
			t.Fatal(name, err)
		}
		w, broken := walk(replay([]byte(data)), false)
		if broken != "" {
			t.Errorf("%s: %s", name, broken)
		}
		maps.Copy(covered, w.seen)
	}
	for _, m := range moves {
		if covered["move "+m.name] == 0 {
			t.Errorf("no walk in %s has the move %q: -rewrite looks for others", corpus, m.name)
		}
	}
	for kind := Entry; kind <= Refuse; kind++ {
		for _, ok := range []bool{true, false} {
			if what := fmt.Sprintf("%s %v %v", kind, ok, nil); covered[what] == 0 {
				t.Errorf("no walk in %s has %q: -rewrite looks for others", corpus, what)
			}
		}
		if what := fmt.Sprintf("twice %s", kind); covered[what] == 0 {
			t.Errorf("no walk in %s has %q: -rewrite looks for others", corpus, what)
		}
	}
}

// writeCorpus keeps those of many walks that have something which no earlier one had.
func writeCorpus(t *testing.T) {
	if err := os.RemoveAll(corpus); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		t.Fatal(err)
	}
	covered := map[string]int{}
	for seed := range uint64(5000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		c := &choices{next: func() (byte, bool) { return byte(rnd.Uint32()), true }}
		w, broken := walk(c, false)
		before := len(covered)
		maps.Copy(covered, w.seen)
		if broken != "" || len(covered) == before {
			continue
		}
		text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", c.made)
		if err := os.WriteFile(fmt.Sprintf("%s/walk-%d", corpus, seed), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a candidate has put is read as it was written, whatever the value is. What is not read so was not written by one.
func FuzzSplit(f *testing.F) {
	f.Add("a", "1")
	f.Add("a:b", ":::x\x00")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, value string) {
		data := Join(id, value)
		gotID, gotValue, ok := Split(data)
		if !ok || Join(gotID, gotValue) != data || strings.Contains(gotID, Separator) {
			t.Errorf("%q was read as %q and %q", data, gotID, gotValue)
		}
		if clean(id) && (gotID != id || gotValue != value) {
			t.Errorf("%q of %q was read as %q of %q", value, id, gotValue, gotID)
		}
		if _, _, ok := Split(value); ok != strings.Contains(value, Separator) {
			t.Errorf("that %q was written by a candidate is %v", value, ok)
		}
	})
}

// clean reports whether a path or an id is one that users may give.
func clean(s string) bool {
	return s != "" && !strings.Contains(s, Separator) && !strings.HasSuffix(s, ":")
}

// Every key belongs to one election and is one part of it, and keys of different elections are told apart.
func FuzzParseKey(f *testing.F) {
	for _, key := range []string{"/a", "/a:::term/x.1", "/a:::queue/x.1", "/a:::transfer", "/a:::other", "a::::term/", ":::", "/a:::term/x:::y"} {
		f.Add(key, "/b", "n.1")
	}
	f.Fuzz(func(t *testing.T, key, path, nonce string) {
		of, part, n := ParseKey(key)
		again := map[Part]string{PartPath: of, PartTerm: TermPrefix(of) + n, PartQueue: QueuePrefix(of) + n, PartTransfer: TransferKey(of)}
		if part != PartUnknown && again[part] != key || part == PartUnknown && !strings.HasPrefix(key, Prefix(of)) {
			t.Errorf("%q was read as part %d of %q with the nonce %q", key, part, of, n)
		}
		if !clean(path) {
			return
		}
		for part, key := range map[Part]string{PartPath: path, PartTerm: TermPrefix(path) + nonce, PartQueue: QueuePrefix(path) + nonce, PartTransfer: TransferKey(path)} {
			of, got, n := ParseKey(key)
			if of != path || got != part || (part == PartTerm || part == PartQueue) && n != nonce {
				t.Errorf("%q was read as part %d of %q with the nonce %q", key, got, of, n)
			}
		}
	})
}

// A request for a transfer is read as it was written, and nothing else is read as one.
func FuzzParseTransfer(f *testing.F) {
	f.Add(int64(7), "a", "7:::a")
	f.Add(int64(1<<62), "", ":::")
	f.Add(int64(-1), "a:::b", "0x7:::a")
	f.Fuzz(func(t *testing.T, token int64, id, data string) {
		if gotToken, gotID, ok := ParseTransfer(TransferData(token, id)); !ok || gotToken != token || gotID != id {
			t.Errorf("a transfer of %d to %q was read as one of %d to %q", token, id, gotToken, gotID)
		}
		token, id, ok := ParseTransfer(data)
		if _, rest, _ := strings.Cut(data, Separator); ok && id != rest {
			t.Errorf("%q was read as a transfer to %q", data, id)
		}
		if again, _, _ := ParseTransfer(TransferData(token, id)); ok && again != token {
			t.Errorf("%q was read as a transfer of %d", data, token)
		}
	})
}
