package sim

import (
	"testing"
)

func TestIsLock(t *testing.T) {
	a, b := Belief{"a", 3, 1, 2}, Belief{"b", 7, 2, 4}
	for name, c := range map[string]struct {
		beliefs []Belief
		want    bool
	}{
		"one after the other": {[]Belief{a, b}, true},
		"nobody":              {nil, true},
		"overlap":             {[]Belief{a, {"b", 7, 1, 4}}, false},
		"token does not grow": {[]Belief{a, {"b", 2, 2, 4}}, false},
		"the same token":      {[]Belief{a, {"b", 3, 2, 4}}, false},
	} {
		if got := IsLock(c.beliefs); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A thousand handovers in one instant are judged at once.
func TestIsLockInOneInstant(t *testing.T) {
	var beliefs []Belief
	for token := range int64(1000) {
		beliefs = append(beliefs, Belief{Who: string(rune('a' + token%2)), Token: token + 1, From: 5, To: 5})
	}
	if !IsLock(beliefs) {
		t.Error("not a lock")
	}
	beliefs[500].Token = beliefs[501].Token
	if IsLock(beliefs) {
		t.Error("two with one token make a lock")
	}
}
