package etcd

// oldest is the oldest minor release of etcd 3 that etcd supports.
const oldest = 5

var untried = Fault{true, "it is older than all that locked was tried with", "nothing is promised"}

// known is what etcd says of its releases that matters to elections: in its changelogs, in CHANGELOG/README.md and in its
// security advisories. The numbers are of pull requests and issues of etcd-io/etcd.
//
// Serious is what is mended by the versions that CHANGELOG/README.md recommends for production, 3.4.22 and 3.5.6 at least,
// and damages or loses data.
var known = []struct {
	Fault
	since, mended patches // the first that has it, where that is not the first of all; the first that is without it
}{
	// CHANGELOG/README.md, "v3.5 data corruption issue"; Documentation/postmortems/v3.5-data-inconsistency.md; #13908.
	{Fault{
		true, "a member that is killed under load may miss what was committed",
		"the members may then disagree on who is elected",
	}, nil, patches{5: 3}},
	// "Durability API guarantee broken in single node cluster", #14423, #14424.
	{Fault{
		true, "an etcd of one member may lose in a crash what it has confirmed",
		"it may forget who was elected, and elect another one",
	}, nil, patches{4: 21, 5: 5}},
	// "Data consistency issue caused by recovery from snapshot", #14648, #14649.
	{Fault{
		true, "with users, a member that was sent a snapshot may judge permissions otherwise than the rest",
		"the members may then disagree on who is elected",
	}, nil, patches{4: 22, 5: 6}},
	// "Revision might be inconsistency between members when etcd crashes during … defragmentation", #14733.
	{Fault{
		true, "a crash while it defragments may give a member other revisions than the rest",
		"tokens may then differ from member to member",
	}, nil, patches{5: 6}},
	// "Fix a data corruption bug by saving consistent index" in auth, #11652.
	{Fault{
		true, "with users, a member that was restarted may refuse what the rest has done",
		"the members may then disagree on who is elected",
	}, nil, patches{4: 8}},
	// "Fix corruption bug in defrag", #11613.
	{Fault{
		true, "a defragmentation after one that was cut short may damage a member's data",
		"what it says of elections may then be wrong",
	}, nil, patches{4: 4}},

	// CHANGELOG-3.4, 3.4.45: "the end of support (EOL) for v3.4".
	{Fault{
		false, "it is out of support since June 2026, and its list of members comes from memory",
		"what proves a lease is not that list, so elections are safe as far as is known",
	}, nil, patches{4: always}},
	// "Potential data corruption when applySnapshot and defragment happen concurrently", #20650, #20653, #20659.
	{Fault{
		false, "a member that defragments while it is sent a snapshot may damage its data",
		"what it says of elections may then be wrong",
	}, nil, patches{4: 38, 5: 23, 6: 5}},
	// "Revision decreasing after panic during compaction", #17864, #17865, issue #17780.
	{Fault{
		false, "a crash while it compacts may set the revision back",
		"a token may be given twice",
	}, nil, patches{4: 32, 5: 14}},
	// "Race between read index and leader change", "Stale reads caused by process pausing", #21378, #21417; #21387, #21421;
	// #21385, #21423.
	{Fault{
		false, "a linearizable read may be out of date (etcd-io/etcd#20418)",
		"so may be what is asked of an election; who leads is proven without such reads",
	}, nil, patches{4: 42, 5: 28, 6: 9}},
	// GHSA-q8m4-xhhv-38mg, GHSA-rfx7-8w68-q57q.
	{Fault{
		false, "with users, leases need no permission to be renewed, nor nested transactions any (CVE-2026-33413, CVE-2026-33343)",
		"every user may meddle with every election",
	}, nil, patches{4: 42, 5: 28, 6: 9}},
	// "Leases wrongly revoked by the leader", #17425, #17465, issue #15247.
	{Fault{
		false, "a member that was paused may end leases that were renewed (etcd-io/etcd#15247)",
		"a term may end early",
	}, nil, patches{4: 31, 5: 13}},
	// "Watch event loss after compaction", #17610, #17612, issue #17529.
	{Fault{
		false, "a watch that is behind a compaction may miss changes (etcd-io/etcd#17529)",
		"a candidate may wait though nobody leads",
	}, nil, patches{4: 31, 5: 13}},
	// "No progress notification being sent for watch that doesn't get any events", #17566, #17567; since #15695, #15697.
	{Fault{
		false, "progress may not be told on a stream with a watch that was opened in the past",
		"watches are taken for stalled, and opened again",
	}, patches{4: 25, 5: 8}, patches{4: 31, 5: 13}},
	// "Reverted the fix to auth invalid token and old revision errors in watch", #15542: 3.4.23 was seen to hang.
	{Fault{
		false, "with users, it may stop answering once it has refused a watch for an expired token",
		"nobody can lead until it is started again",
	}, patches{4: 22}, patches{4: 25}},
	// "Requested watcher progress notifications are not synchronised with stream", #15695, #15697.
	{Fault{
		false, "a notice of progress may overtake the changes that it speaks of",
		"a ping may be told of a leader that has gone",
	}, nil, patches{4: 25, 5: 8}},
	// "Allow non mutating requests pass through quotaKVServer when NOSPACE", #14254, #14884.
	{Fault{
		false, "when its database has reached the quota it refuses transactions that only delete, too",
		"a leader that stops then leaves its keys to end with its lease",
	}, nil, patches{4: 20, 5: 7}},
	// "Auth invalid token and old revision errors in watch", #14547, #14548.
	{Fault{
		false, "with users, a stream whose token has expired refuses watches by \"permission denied\"",
		"so an error event may say, and a watch may tell nothing",
	}, nil, patches{4: 22, 5: 6}},
}

// patches are of minor releases of etcd 3, by the number of those.
type patches map[int]int

// always is the patch that mends what stays.
const always = 1 << 30
