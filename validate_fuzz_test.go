package locked

import (
	"errors"
	"strings"
	"testing"

	"github.com/samcday/locked/internal/election"
)

// Paths, ids and values that are accepted come back from the keys and the data that are made of them, and the keys of two
// paths never meet: neither is one of the other's, nor below its prefix. What is refused is named.
func FuzzNames(f *testing.F) {
	f.Add("/a", "/a/b", "web-1", "10.0.0.1:80")
	f.Add("/a", "/a:", "a:::b", ":::x")
	f.Add("/a:b", "/a::b", ":", "\x00")
	f.Add("\x7f", "/\u202e", "\xff", "")
	f.Fuzz(func(t *testing.T, path, other, id, value string) {
		if accepted(t, "path", path, checkName("path", path, MaxPathSize)) {
			checkKeys(t, path, "n.1")
			if accepted(t, "path", other, checkName("path", other, MaxPathSize)) && path != other {
				checkApart(t, path, other)
			}
		}
		idOK, valueOK := accepted(t, "ID", id, checkName("ID", id, MaxIDSize)), accepted(t, "Value", value, checkValue(value))
		if gotID, gotValue, ok := election.Split(election.Join(id, value)); idOK && valueOK && (!ok || gotID != id || gotValue != value) {
			t.Errorf("%q and %q were read as %q and %q", id, value, gotID, gotValue)
		}
		if token, to, ok := election.ParseTransfer(election.TransferData(7, id)); idOK && (!ok || token != 7 || to != id) {
			t.Errorf("a transfer to %q was read as one of %d to %q", id, token, to)
		}
	})
}

// accepted reports whether a field was accepted. A refusal says which field it was, and is not longer than one reads.
func accepted(t *testing.T, field, s string, err error) bool {
	var refused *ConfigError
	switch {
	case err == nil:
		return true
	case !errors.As(err, &refused) || refused.Field != field || !strings.Contains(err.Error(), field):
		t.Errorf("%q is refused without a word of %s: %v", s, field, err)
	case len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x00\x1b"):
		t.Errorf("a refusal that cannot be shown: %q", err.Error())
	}
	return false
}

func checkKeys(t *testing.T, path, nonce string) {
	for key, want := range map[string]election.Part{
		path:                               election.PartPath,
		election.TermPrefix(path) + nonce:  election.PartTerm,
		election.QueuePrefix(path) + nonce: election.PartQueue,
		election.TransferKey(path):         election.PartTransfer,
		election.Prefix(path) + "other":    election.PartUnknown,
	} {
		if of, part, _ := election.ParseKey(key); of != path || part != want {
			t.Errorf("%q was read as part %d of %q", key, part, of)
		}
	}
}

func checkApart(t *testing.T, path, other string) {
	for _, key := range []string{other, election.TermPrefix(other) + "n.1", election.QueuePrefix(other) + "n.1", election.TransferKey(other)} {
		if key == path || strings.HasPrefix(key, election.Prefix(path)) {
			t.Errorf("%q of %q is a key of %q", key, other, path)
		}
	}
}
