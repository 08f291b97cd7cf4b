//go:build linux

package cluster

import (
	"os"
	"path/filepath"
	"testing"
)

// What a process that was killed has left behind is removed by the next one; what is in use, or anybody else's, is not.
func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	scratch := func() *Scratch {
		t.Helper()
		s, err := NewScratch("scratch-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Path, "data"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return s
	}
	there := func(dir string) bool {
		_, err := os.Stat(dir)
		return err == nil
	}
	others := filepath.Join(os.TempDir(), "scratch-of-somebody-else")
	if err := os.Mkdir(others, 0o700); err != nil {
		t.Fatal(err)
	}
	used, left := scratch(), scratch()
	if err := left.lock.Close(); err != nil { // as the system does for who was killed
		t.Fatal(err)
	}
	last := scratch()
	if there(left.Path) {
		t.Error("what was left behind is still there")
	}
	for _, dir := range []string{used.Path, last.Path, others} {
		if !there(dir) {
			t.Errorf("%s was removed", dir)
		}
	}
	if err := used.Remove(); err != nil || there(used.Path) {
		t.Errorf("not removed: %v", err)
	}
}
