package etcdtest

import (
	"slices"
	"strconv"
	"strings"
)

// Release is one of etcd.
type Release struct {
	Version string
	Why     string // the tests are run against it
	Quick   bool   // also when there is little time
	Loses   bool   // what was committed, when members are killed under load: no chaos for it
}

// Releases are those that all that talks to etcd is tried with.
var Releases = []Release{
	{"3.4.23", "that of Debian 12, not supported any more by etcd", true, false},
	{"3.5.0", "the first of 3.5, with all the bugs that it had", true, true},
	{"3.5.12", "of the middle of 3.5: those of its beginning are mended", false, false},
	{"3.5.23", "of the last that renew a lease for whoever asks", false, false},
	{"3.5.35", "the newest of 3.5: who renews a lease must be allowed to", true, false},
	{"3.6.8", "the last of 3.6 to renew a lease for whoever asks", true, false},
	{"3.6.16", "the newest of 3.6", true, false},
	{"3.7.3", "the newest, and the one built in; here as a process", false, false},
}

// older reports whether a version such as 3.5.6 is before another one.
func older(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) < 0 }

func numbers(version string) (list []int) {
	version, _, _ = strings.Cut(version, "-") // a release candidate is taken for the release
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // what is no number is of no release
		list = append(list, n)
	}
	return list
}
