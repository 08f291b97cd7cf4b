package chaos

// Rule is one that can be broken on purpose, on the wire between a candidate and etcd: the shipped code runs unchanged.
type Rule struct {
	Name     string
	Broken   string   // what is done
	Promise  string   // what is found to be broken then
	Exposing []string // kinds of faults that show it; all other kinds are left out
}

// Rules are all that can be broken.
var Rules = []Rule{
	{
		"deadline", "each lease is said to live three times as long as it does",
		"a leader that is cut off believes on while another is elected", []string{kindCut, kindMute, kindDeaf},
	},
	{
		"renewal", "each renewal is answered on the spot, as etcd's gRPC proxy may do, and never sent",
		"leases run out under leaders that believe on", []string{kindDrip, kindReset},
	},
	{
		"verify", "the linearizable read after each renewal is answered on the spot",
		"an etcd leader that is cut off from its peers goes on acknowledging renewals", []string{kindLeaderStopCut, kindLeaderCut},
	},
	{
		"raft-term", "every answer is said to be of the same raft term",
		"an etcd leader that was stopped ends leases that were renewed elsewhere", []string{kindLeaderStop},
	},
	{
		"guard", "the conditions of hand-overs and claims are taken out",
		"a hand-over that was given up is committed in somebody else's term", []string{kindLate},
	},
	{
		"fence", "the condition of each fenced write is taken out",
		"a write that was given up is committed in somebody else's term", []string{kindLate},
	},
	{
		"lease", "keys are put without a lease",
		"nobody is elected after a leader that was killed", []string{kindKill},
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
