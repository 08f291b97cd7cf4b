package child

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const roleVar = "LOCKED_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		echo()
		return
	}
	os.Exit(m.Run())
}

// echo writes what it is told, until its input ends, and then a piece of a line.
func echo() {
	in := bufio.NewReader(os.Stdin)
	var prefix string
	if err := Settings(in, &prefix); err != nil {
		panic(err)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			os.Stdout.WriteString("no end")
			return
		}
		os.Stdout.WriteString(prefix + line)
	}
}

// A process is told things, and what it tells is there when it has ended, however long it is. What has no end is left out.
func TestRun(t *testing.T) {
	var lines []string
	p, err := Run(Command{Path: os.Args[0], Args: os.Args[:1], Env: []string{roleVar + "=echo"}, Stderr: os.Stderr}, "> ",
		func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	long := strings.Repeat("x", 1<<20)
	for _, line := range []string{"one", long} {
		if err := p.Tell(line); err != nil {
			t.Fatal(err)
		}
	}
	p.Release()
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("it does not end with its input")
	}
	if want := []string{"> one", "> " + long}; !slices.Equal(lines, want) || !p.Succeeded() {
		t.Errorf("it ended with %v, and told %.100q", p.State(), lines)
	}
}
