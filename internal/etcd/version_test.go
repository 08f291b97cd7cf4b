package etcd

import (
	"slices"
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		version string
		serious bool
		what    []string // words of some of the faults
		not     []string // words of none
		take    string
	}{
		{version: ""},
		{version: "junk"},
		{version: "3"},
		{version: "3.5"},
		{version: "4.0.0"},
		{version: "3.7.0"},
		{version: "3.7.3"},
		{version: "3.8.0-alpha.0"},
		{version: "3.99.0"},
		{version: "3.5.28"},
		{version: "3.6.9"},
		{"2.3.8", true, []string{"tried"}, nil, "3.5.28"},
		{"3.3.27", true, []string{"tried"}, nil, "3.5.28"},
		{"3.4.0", true, []string{"one member", "support", "#20418", "overtake"}, []string{"under load", "defragments may give"}, "3.5.28"},
		{"3.4.22", false, []string{"support", "overtake"}, []string{"one member", "only delete"}, "3.5.28"},
		{"3.4.45", false, []string{"support"}, []string{"#20418"}, "3.5.28"},
		{"3.5.0", true, []string{"under load", "one member"}, nil, "3.5.28"},
		{"3.5.2", true, []string{"under load", "one member", "defragments may give", "only delete"}, []string{"support", "opened in the past"}, "3.5.28"},
		{"3.5.3", true, []string{"one member"}, []string{"under load"}, "3.5.28"},
		{"3.5.5", true, []string{"permission denied", "defragments may give"}, []string{"one member"}, "3.5.28"},
		{"3.5.6", false, []string{"only delete", "overtake"}, []string{"permission denied"}, "3.5.28"},
		{"3.5.7", false, []string{"overtake"}, []string{"only delete", "opened in the past"}, "3.5.28"},
		{"3.5.8", false, []string{"opened in the past"}, []string{"overtake"}, "3.5.28"},
		{"3.5.12", false, []string{"opened in the past", "#15247", "miss changes"}, nil, "3.5.28"},
		{"3.5.13", false, []string{"compacts"}, []string{"opened in the past", "#15247"}, "3.5.28"},
		{"3.5.22", false, []string{"sent a snapshot"}, []string{"compacts"}, "3.5.28"},
		{"3.5.23", false, []string{"#20418", "CVE-2026-33413"}, []string{"snapshot"}, "3.5.28"},
		{"3.5.27", false, []string{"#20418", "CVE-2026-33413"}, nil, "3.5.28"},
		{"3.6.0-rc.1", false, []string{"#20418", "snapshot"}, []string{"compacts"}, "3.6.9"},
		{"3.6.4", false, []string{"#20418", "snapshot"}, nil, "3.6.9"},
		{"3.6.8", false, []string{"#20418", "CVE-2026-33413"}, []string{"snapshot"}, "3.6.9"},
	} {
		faults, take := Faults(test.version)
		if take != test.take || (len(faults) > 0) != (take != "") {
			t.Errorf("%s: %d faults, take %q, want %q", test.version, len(faults), take, test.take)
		}
		has := func(words string) bool {
			return slices.ContainsFunc(faults, func(f Fault) bool { return strings.Contains(f.What, words) })
		}
		for _, words := range test.what {
			if !has(words) {
				t.Errorf("%s: nothing of %q in %v", test.version, words, faults)
			}
		}
		for _, words := range test.not {
			if has(words) {
				t.Errorf("%s: something of %q in %v", test.version, words, faults)
			}
		}
		if serious := len(faults) > 0 && faults[0].Serious; serious != test.serious {
			t.Errorf("%s: serious %v, want %v", test.version, serious, test.serious)
		}
	}
}

// What is serious comes first, and says in one line what it is and means; and what was mended stays so.
func TestKnown(t *testing.T) {
	for i, k := range known {
		if k.Serious && i > 0 && !known[i-1].Serious {
			t.Errorf("%q is serious, and behind what is not", k.What)
		}
		if k.What == "" || k.Means == "" || len(k.mended) == 0 {
			t.Errorf("%+v is not whole", k)
		}
		for minor, since := range k.since {
			if since >= k.mended[minor] {
				t.Errorf("%q: in 3.%d it is there from %d and mended in %d", k.What, minor, since, k.mended[minor])
			}
		}
	}
	for minor := oldest; minor < 10; minor++ {
		if faults, _ := Faults(mended(minor)); len(faults) > 0 {
			t.Errorf("%s is to be taken, and has %v", mended(minor), faults)
		}
	}
}
