// Package agent is an HTTP service that lets programs of any language take part in elections, and shows them.
//
// # The connection is the candidacy
//
// Who posts a campaign is a candidate as long as the connection is open. Every event that he is told says for how long he
// may go on believing that he leads; that is a promise: nobody else is elected before it has run out, and another
// [locked.NodeConfig].Grace besides, unless he has said that he is done. What ends a candidacy:
//
//   - The peer has closed the connection, and is on this machine. Then its process has ended, or wants no more: what it led
//     is handed over at once.
//   - The caller deletes his campaign. The same.
//   - The connection was lost in any other way: a peer elsewhere has closed it, perhaps a proxy that the caller knows
//     nothing of; it does not take what it is sent; the agent gave up on it. Then nothing is promised any more, and when the
//     last promise has run out, what he led is handed over.
//   - A transfer, or the end of the agent: the caller is told, and has as long as the last promise lasts to end his work. He
//     says that he is done by POST …/release, or by closing the connection.
//
// A promise is counted in the machine's uptime (CLOCK_BOOTTIME), which programs on the same machine can read: so it does
// not matter how late they hear of it.
//
// # Viewers
//
// All who look at elections share one watch in etcd, and each has a set of what has changed since he was last told. One
// who is slow gets the latest state of each election, and never a queue.
package agent
