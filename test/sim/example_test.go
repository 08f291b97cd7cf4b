package sim_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/samcday/locked/test/sim"
)

func TestCutOffLeader(t *testing.T) {
	sim.InArena(t, 5*time.Second, 3, func(a *sim.Arena) {
		a.StartAll()
		m := a.AwaitLeader()
		m.Link.Cut()
		a.Await("another leader", func() bool { l := a.Leader(); return l != nil && l != m })
		m.Link.Heal()
		a.AwaitSettled()
	})
}

// The package's documentation shows the test above.
func TestDoc(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, test, _ := strings.Cut(string(example), "\nfunc TestCutOffLeader")
	test, _, _ = strings.Cut("func TestCutOffLeader"+test, "\n}\n")
	if shown := "//\t" + strings.ReplaceAll(test+"\n}", "\n", "\n//\t"); !strings.Contains(string(doc), shown) {
		t.Errorf("the documentation does not show this:\n%s", shown)
	}
}
