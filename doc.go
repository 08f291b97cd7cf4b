// Package locked gives a group of processes one agreed value, and one elected owner of it, on etcd v3.
//
// A [Locker] is a connection to etcd. A [Node] of it competes for a path: the nodes of all processes that name the same
// path form an election. One of them at a time is elected; the others wait in a queue, first come, first served. The key
// at the path holds "id:::value" of the elected node, for any etcd client to read.
//
//	l, err := locked.New("127.0.0.1:2379")
//	n, err := l.Node("/master", locked.NodeConfig{ID: "node1", Value: "10.0.0.1:80"})
//	events := n.Events(ctx)
//	err = n.Start(ctx)
//	for e := range events {
//		switch e.Kind {
//		case locked.EventSelect:   // this node is elected
//		case locked.EventDeselect: // it is not any more: e.Cause says why
//		}
//	}
//
// Programs that do something while they are elected are shorter with [Node.Lead], which runs a function for each term:
//
//	err = n.Lead(ctx, func(ctx context.Context, term *locked.Term) error {
//		return work(ctx, term) // until ctx ends, which is before anybody else can be elected
//	})
//
// [Locker.Transfer] moves leadership to another candidate, [Node.SetValue] changes what a node announces, and
// [NodeConfig].Check gives leadership up while the node is unfit. [Locker.Leader], [Locker.Candidates], [Locker.Elections]
// and [Locker.Watch] look without competing. [Locker.Close] hands over what its nodes lead. It needs etcd 3.4 or later;
// docs/operating.md says what is known of which version.
//
// # What decides
//
// etcd decides who is elected, by a transaction that checks the node's own candidacy; the process decides for how long it
// may believe that. It believes until
//
//	time before the last verified renewal was sent + TTL - TTL/50 - Grace
//
// on a clock that goes on while the machine is suspended (CLOCK_BOOTTIME and three seconds for each suspend on Linux,
// CLOCK_MONOTONIC on macOS, GetTickCount64 on Windows, elsewhere Go's own, which may stand still). A renewal counts once
// etcd has committed an entry after it in the same raft term, which takes a quorum in every version, and only in the raft term
// in which the lease was granted; when etcd elects a new leader, the nodes' keys are moved to a new lease. TTL/50 allows for
// clocks that differ in rate by two percent; Grace, a fifth of the TTL by default, is the time in which work can end before somebody else may begin.
//
// So at any instant at most one node's [Node.IsSelected] is true, whatever the network, the processes and the members of
// etcd do. What is not promised: that nobody acts on an answer that has become old in the meantime, and anything at all
// if a hypervisor stops the clocks of a machine, or a Linux machine does not count a suspend of less than three seconds, as
// some do not. For these there is the token, and in etcd itself [Term.Txn], which writes only while the term holds.
//
// # Tokens
//
// Each term has a token, an etcd revision, that is larger than that of every earlier term of the path. A store that
// remembers the largest token it has seen, and refuses writes with a smaller one, is safe from a leader that does not know
// yet that it is none. If etcd is restored from a snapshot its revisions go back, and tokens with them, unless etcdutl is
// told to bump them (etcdutl snapshot restore --bump-revision).
//
// # The life of a node
//
//	         Start                     elected
//	stopped -------> waits in the queue ------> leads
//	   ^                 |   ^                   |
//	   |      Stop       |   |  not renewed in   |
//	   +-----------------+   |  time, removed,   |
//	   |                     |  transferred      |
//	   |                     +-------------------+
//	   |               Stop: handed over         |
//	   +-----------------------------------------+
//
// A node that was started is a candidate until it is stopped: after an outage, a lost lease, a compaction or a restart of
// etcd it competes again by itself. What goes wrong meanwhile comes as [EventError] events.
//
// A node that is stopped hands over in one commit, in which the path goes from its value to that of the next in line. A
// process that dies is replaced when its lease ends: within its TTL, plus the half second after which etcd notices.
//
// # Events
//
// A subscriber first hears the state as it is, and then every change in the order of etcd's revisions. "Nobody is
// elected" is an event too. [EventSelect] and [EventDeselect] alternate, and a deselect says why. Events are told after the fact:
// ask [Node.IsSelected] when it matters.
//
// # What is not safe
//
// Deleting by hand both the path and the keys that begin with "PATH:::term/", or revoking leases by hand, can make two
// nodes believe to be elected for as long as their leases would have lived. So can etcd's gRPC proxy, which answers renewals
// from memory.
package locked
