package etcdtest

import (
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/version"
)

func TestOlder(t *testing.T) {
	order := []string{"3.4.23", "3.5.0", "3.5.6", "3.5.23", "3.6.0", "3.6.16", "3.10.0"}
	for i, a := range order {
		for j, b := range order {
			if older(a, b) != (i < j) {
				t.Errorf("%s is older than %s: %v", a, b, i >= j)
			}
		}
	}
	if older("3.6.0-rc.1", "3.6.0") {
		t.Error("a release candidate is older")
	}
}

// Each release can be asked for by its name; the last one is the one that is built in. They are in order.
func TestReleases(t *testing.T) {
	for i, r := range Releases {
		if !versionForm.MatchString(r.Version) || r.Why == "" || i > 0 && !older(Releases[i-1].Version, r.Version) {
			t.Error(r)
		}
	}
	if last := Releases[len(Releases)-1].Version; last != version.Version {
		t.Errorf("the last one is %s, and %s is built in", last, version.Version)
	}
	if _, err := Binary(t.Context(), "../3.5.0"); err == nil || !strings.Contains(err.Error(), "no release is called so") {
		t.Error(err)
	}
}
