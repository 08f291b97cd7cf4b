package etcd

import "fmt"

// Fault is something that is known to be wrong with a version of etcd.
type Fault struct {
	Serious bool   // etcd says not to use the version, or it was never tried with locked
	What    string // is wrong
	Means   string // for elections
}

// Faults gives what is known to be wrong with a version of etcd, first what is serious, and which version to take instead.
// Of a version that it cannot read, or that is newer than what it knows, there is nothing. One that comes before a release,
// such as 3.6.0-rc.1, counts as that release.
func Faults(version string) (faults []Fault, take string) {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 || major > 3 {
		return nil, ""
	}
	if major < 3 || minor < 4 {
		return []Fault{untried}, mended(oldest)
	}
	for _, k := range known {
		if patch >= k.since[minor] && patch < k.mended[minor] {
			faults = append(faults, k.Fault)
		}
	}
	if faults == nil {
		return nil, ""
	}
	return faults, mended(max(minor, oldest))
}

// mended is the first patch of a minor release of which nothing is known any more.
func mended(minor int) string {
	patch := 0
	for _, k := range known {
		patch = max(patch, k.mended[minor])
	}
	return fmt.Sprintf("3.%d.%d", minor, patch)
}
