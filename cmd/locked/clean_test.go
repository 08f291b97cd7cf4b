package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the README's commands write into a clone is ignored by git: else the version of the next build would end in "+dirty".
func TestReadmeLeavesCloneClean(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := os.ReadFile("../../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	written := []string{"locked.etcd", "locked.agent"} // by server and agent, without a flag
	for _, found := range regexp.MustCompile(`--report (\S+)`).FindAllSubmatch(readme, -1) {
		written = append(written, string(found[1]))
	}
	if len(written) == 2 {
		t.Error("the README writes no report any more")
	}
	for _, name := range written {
		if !slices.Contains(strings.Split(string(ignored), "\n"), "/"+name) {
			t.Errorf(".gitignore has no /%s", name)
		}
	}
}
