package chaos

import (
	"testing"
	"time"
)

// A time in which the machine stood still is none in which a member is known to have served: nobody has asked.
func TestProbeOfAMachineThatStoodStill(t *testing.T) {
	const ms = time.Millisecond
	p := Probe{}.answered(1, 100*s, 100*s+ms)
	p = p.answered(1, 100*s+100*ms, 100*s+101*ms)
	if want := (Probe{1, 100 * s, 100*s + 101*ms}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	for what, asked := range map[string]time.Duration{"between two questions": 109 * s, "before the answer": 100*s + 200*ms} {
		got, want := p.answered(1, asked, 109*s+ms), Probe{1, asked, 109*s + ms}
		if asked < 109*s {
			want.From = want.To
		}
		if got != want {
			t.Errorf("it stood still %s: %+v, want %+v", what, got, want)
		}
	}
}
