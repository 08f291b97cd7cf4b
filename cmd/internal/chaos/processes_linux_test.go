package chaos

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/samcday/locked/internal/server/child"
)

// A candidate that cannot be started again ends the run with the reason, whatever faults are made to it meanwhile.
func TestCandidateThatCannotBeStarted(t *testing.T) {
	f := &processes{
		command:  child.Command{Path: "/bin/cat", Args: []string{"cat"}},
		dir:      t.TempDir(),
		settings: candidateSettings{Elections: 1},
	}
	if err := f.add(nil); err != nil {
		t.Fatal(err)
	}
	defer f.kill()
	f.command.Path = "/nowhere"
	r := f.all[0]
	candidateFaults[kindKill](context.Background(), &injector{}, plan{}, r)
	candidateFaults[kindKill](context.Background(), &injector{}, plan{}, r)
	if err := f.ended(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that there is no /nowhere", err)
	}
}
