package test

import (
	"testing"
)

func TestIsLock(t *testing.T) {
	a, b := leaderBelief{"a", 3, 1, 2}, leaderBelief{"b", 7, 2, 4}
	for name, c := range map[string]struct {
		beliefs []leaderBelief
		want    bool
	}{
		"one after the other": {[]leaderBelief{a, b}, true},
		"nobody":              {nil, true},
		"overlap":             {[]leaderBelief{a, {"b", 7, 1, 4}}, false},
		"token does not grow": {[]leaderBelief{a, {"b", 2, 2, 4}}, false},
		"the same token":      {[]leaderBelief{a, {"b", 3, 2, 4}}, false},
	} {
		if got := isLock(c.beliefs); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A thousand handovers in one instant are judged at once.
func TestIsLockInOneInstant(t *testing.T) {
	var beliefs []leaderBelief
	for token := range int64(1000) {
		beliefs = append(beliefs, leaderBelief{who: string(rune('a' + token%2)), token: token + 1, from: 5, to: 5})
	}
	if !isLock(beliefs) {
		t.Error("not a lock")
	}
	beliefs[500].token = beliefs[501].token
	if isLock(beliefs) {
		t.Error("two with one token make a lock")
	}
}
