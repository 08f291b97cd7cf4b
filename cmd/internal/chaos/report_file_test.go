package chaos

import (
	"os"
	"path/filepath"
	"testing"
)

// A run that comes to nothing leaves the report of an earlier one as it was, and no file where there was none.
func TestReportFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.html")
	f, err := OpenReport(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("a file is left: %v", err)
	}
	before := make([]byte, 1<<20) // longer than what comes
	if err := os.WriteFile(name, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenReport(name); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if now, err := os.ReadFile(name); err != nil || len(now) != len(before) {
		t.Errorf("%d bytes are left, %v", len(now), err)
	}
	for range 2 { // there is one before, and then none
		if f, err = OpenReport(name); err != nil {
			t.Fatal(err)
		}
		if err := f.Replace(func(f *os.File) error { _, err := f.WriteString("new"); return err }); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if now, err := os.ReadFile(name); err != nil || string(now) != "new" {
			t.Errorf("%d bytes, %v", len(now), err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
