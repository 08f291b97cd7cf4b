package election

import (
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct{ id, value string }{
		{"a", "1"}, {"a", ""}, {"a:b", ":::"}, {"a", ":"}, {"a", "::::"}, {"a", "x:::y"}, {"a b", "line\nline\x00\xff"},
	} {
		if id, value, ok := Split(Join(c.id, c.value)); !ok || id != c.id || value != c.value {
			t.Errorf("%q and %q come back as %q and %q (%v)", c.id, c.value, id, value, ok)
		}
	}
	for _, data := range []string{"", "a", "a::b"} {
		if _, _, ok := Split(data); ok {
			t.Errorf("%q was not written by a candidate", data)
		}
	}
}

func TestParseKey(t *testing.T) {
	for _, of := range []string{"/job", "job", "a:b", "a/b/", "a::b"} {
		for _, c := range []struct {
			key   string
			part  Part
			nonce string
		}{
			{of, PartPath, ""},
			{TermPrefix(of) + "x.1", PartTerm, "x.1"},
			{QueuePrefix(of) + "x.1", PartQueue, "x.1"},
			{TransferKey(of), PartTransfer, ""},
			{Prefix(of) + "other", PartUnknown, ""},
			{Prefix(of), PartUnknown, ""},
		} {
			path, part, nonce := ParseKey(c.key)
			if path != of || part != c.part || nonce != c.nonce {
				t.Errorf("%q is part %d of %q, nonce %q", c.key, part, path, nonce)
			}
			if part != PartPath && !strings.HasPrefix(c.key, Prefix(of)) {
				t.Errorf("a watch on %q misses %q", Prefix(of), c.key)
			}
		}
	}
}

func TestTransferData(t *testing.T) {
	for _, id := range []string{"", "a", "a:b", "x:::y"} {
		if token, got, ok := ParseTransfer(TransferData(12, id)); !ok || token != 12 || got != id {
			t.Errorf("a request for %q comes back as %d, %q (%v)", id, token, got, ok)
		}
	}
	for _, data := range []string{"", "12", ":::a", "x:::a", "12::a"} {
		if _, _, ok := ParseTransfer(data); ok {
			t.Errorf("%q is not a transfer request", data)
		}
	}
}
