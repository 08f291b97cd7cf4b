package span

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0": 0, "90": 90 * time.Second, "5s": 5 * time.Second, "1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond,
		"-1": -time.Second, "1.5s": 1500 * time.Millisecond,
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "1.5", "5 s", "99999999999", "s", "1d"} {
		if got, err := Parse(s); err == nil {
			t.Errorf("%q is taken for %v", s, got)
		}
	}
}

func TestVar(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	var ttl, grace time.Duration
	Var(f, &ttl, "ttl", 10*time.Second, "how long")
	Var(f, &grace, "grace", 0, "how long before")
	if ttl != 10*time.Second {
		t.Errorf("the default is %v", ttl)
	}
	if err := f.Parse([]string{"--ttl", "5"}); err != nil || ttl != 5*time.Second {
		t.Errorf("--ttl 5: %v, %v", ttl, err)
	}
	if got, want := f.FlagUsages(), "      --grace duration   how long before\n      --ttl duration     how long (default 10s)\n"; got != want {
		t.Errorf("the help says:\n%s", got)
	}
}
