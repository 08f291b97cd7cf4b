package chaos

import "time"

// Rule is one that can be broken on purpose, on the wire between a candidate and etcd: the shipped code runs unchanged.
type Rule struct {
	Name     string
	Broken   string   // what is done
	Promise  string   // what is found to be broken then
	Exposing []string // kinds of faults that show it; all other kinds are left out
	// TTL of the leases, if it matters: what a deposed leader of etcd does shows only where leases outlive the election of the
	// next one.
	TTL time.Duration
	// Liveness tells a rule without which nobody leads. Without the others two do: that nobody does may be the machine's fault,
	// and does not show that one of those was found out.
	Liveness bool
}

// shownBy reports whether a violation shows that the rule is broken.
func (r Rule) shownBy(v Violation) bool {
	return r.Liveness || v.Promise != leaderInTime && v.Promise != recovers
}

// Rules are all that can be broken.
var Rules = []Rule{
	{
		Name: "deadline", Broken: "each lease is said to live three times as long as it does",
		Promise: "a leader that is cut off believes on when its lease has ended", Exposing: []string{kindCut, kindMute},
	},
	{
		Name: "renewal", Broken: "each renewal is answered on the spot, as etcd's gRPC proxy may do, and never sent",
		Promise: "leases end under leaders that believe on", Exposing: []string{kindDrip, kindReset},
	},
	{
		Name: "verify", Broken: "the proof of each renewal is answered on the spot, and never sent",
		Promise:  "an etcd leader that is cut off acknowledges renewals that do not count",
		Exposing: []string{kindLeaderBlinkCut, kindYield}, TTL: 5 * time.Second,
	},
	{
		Name: "raft-term", Broken: "every answer is said to be of the same raft term",
		Promise:  "an etcd leader that was stopped ends leases renewed elsewhere (may take minutes)",
		Exposing: []string{kindLeaderStop, kindLag, kindYield}, TTL: 5 * time.Second,
	},
	{
		Name: "guard", Broken: "the conditions of hand-overs and claims are taken out",
		Promise: "a hand-over that was given up is committed in somebody else's term", Exposing: []string{kindLate},
	},
	{
		Name: "fence", Broken: "the condition of each fenced write is taken out",
		Promise: "a write that was given up is committed in somebody else's term", Exposing: []string{kindLate},
	},
	{
		Name: "watch", Broken: "what watches tell is dropped, but not that they are up to date",
		Promise: "nobody is elected after a leader that was killed", Exposing: []string{kindKill}, Liveness: true,
	},
}

// RuleNamed finds a rule.
func RuleNamed(name string) (Rule, bool) {
	for _, r := range Rules {
		if r.Name == name {
			return r, true
		}
	}
	return Rule{}, false
}
