package chaos

// Kinds of faults.
const (
	kindKill    = "kill"
	kindStop    = "stop"
	kindBlink   = "blink"
	kindFreeze  = "freeze"
	kindCut     = "cut"
	kindMute    = "mute"
	kindDeaf    = "deaf"
	kindDrip    = "drip"
	kindLag     = "lag"
	kindReset   = "reset"
	kindLate    = "late"
	kindCompact = "compact"

	kindLeave = "leave"
	kindYield = "yield"

	kindMemberKill     = "member-kill"
	kindMemberStop     = "member-stop"
	kindMemberCut      = "member-cut"
	kindMemberMute     = "member-mute"
	kindMemberDeaf     = "member-deaf"
	kindPairCut        = "pair-cut"
	kindLeaderKill     = "leader-kill"
	kindLeaderStop     = "leader-stop"
	kindLeaderCut      = "leader-cut"
	kindLeaderStopCut  = "leader-stop-cut"
	kindLeaderBlinkCut = "leader-blink-cut"
	kindCrash          = "crash"
	kindBlackout       = "blackout"

	kindMoveLeader = "move-leader"
)

// Kind is one kind of faults.
type Kind struct {
	Name    string
	What    string // what is done
	Members bool   // it is made to members of etcd: it needs a cluster of our own
}

// Kinds are all kinds of faults.
var Kinds = []Kind{
	{kindKill, "a candidate is killed, and started again", false},
	{kindStop, "a candidate is stopped by a signal for longer than the TTL", false},
	{kindBlink, "a candidate is stopped for less than the TTL", false},
	{kindFreeze, "a candidate is frozen by its control group for longer than the TTL", false},
	{kindCut, "a candidate is cut off from etcd, in both directions", false},
	{kindMute, "what a candidate sends is held back", false},
	{kindDeaf, "what a candidate is sent is held back", false},
	{kindDrip, "answers come to a candidate one by one, each late", false},
	{kindLag, "all that a candidate is sent comes late, as over a long way", false},
	{kindReset, "a candidate's connections are reset", false},
	{kindLate, "requests are held back until they were given up and somebody else leads, and are committed then", false},
	{kindCompact, "etcd's history is compacted while a candidate is cut off, whose connections are then reset", false},
	{kindLeave, "a leader stops competing, and starts again", false},
	{kindYield, "a leader is made to hand over to the next in line", false},
	{kindCrash, "all candidates are killed at once, and started again", false},
	{kindBlackout, "all members of etcd are killed at once, and started again", true},
	{kindMemberKill, "a follower of etcd is killed, and started again", true},
	{kindMemberStop, "a follower of etcd is stopped by a signal", true},
	{kindMemberCut, "a follower of etcd is cut off from its peers: it serves stale watches", true},
	{kindMemberMute, "what a follower sends to its peers is held back", true},
	{kindMemberDeaf, "what a follower is sent by its peers is held back", true},
	{kindPairCut, "the leader of etcd and one follower cannot reach each other", true},
	{kindLeaderKill, "the leader of etcd is killed, and started again", true},
	{kindLeaderStop, "the leader of etcd is stopped for longer than the TTL", true},
	{kindLeaderCut, "the leader of etcd is cut off from its peers, while clients reach it", true},
	{kindLeaderStopCut, "the leader of etcd is stopped for longer than the TTL, and cut off from its peers when it goes on", true},
	{kindLeaderBlinkCut, "the same for less than the TTL: it acknowledges renewals that do not count", true},
	{kindMoveLeader, "the leader of etcd hands over to another member", true},
}

// lanes are what happens at the same time: in each one fault follows the other, in shuffled rounds of these.
var lanes = []lane{
	{"candidates", 2, []string{
		kindKill, kindKill, kindStop, kindStop, kindBlink, kindFreeze, kindCut, kindCut, kindMute, kindDeaf, kindDeaf,
		kindDrip, kindLag, kindReset, kindReset, kindLate, kindLate, kindCompact,
	}, 0.1, 0.9},
	{"leaders", 1, []string{kindLeave, kindYield}, 1, 2},
	{"members", 1, []string{
		kindMemberKill, kindMemberStop, kindMemberCut, kindMemberMute, kindMemberDeaf, kindPairCut, kindLeaderKill,
		kindLeaderStop, kindLeaderCut, kindLeaderStopCut, kindLeaderBlinkCut, kindMoveLeader, kindMoveLeader,
	}, 1, 3},
}

type lane struct {
	name     string
	parallel int
	kinds    []string
	min, max float64 // seconds between two faults
}
