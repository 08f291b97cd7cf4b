package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The unit in the examples is one that systemd takes.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze: ", err)
	}
	unit, err := os.ReadFile(filepath.Join("..", "..", "examples", "systemd", "billing.service"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable() // programs that are there
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/usr/local/bin/locked", self, "/usr/local/bin/billing", self).Replace(string(unit))
	file := filepath.Join(t.TempDir(), "billing.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
