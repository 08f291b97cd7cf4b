// Package etcdserver runs one real etcd server inside this process: for the
// command line, for demos, and for tests. It is the only package that imports
// etcd's server; whoever links it pays some 14 MB of binary.
//
// A [Server] is a cluster of one member, unless [Config] makes it one of several
// by a [Cluster]. It has one port for clients, which speaks gRPC, on the
// loopback address unless the configuration says otherwise; one for peers only
// if there are any; and one that etcd insists on for its health and metrics
// pages, a free port of the loopback address. The JSON gateway is off.
//
// # Life
//
// [Start] returns when requests will be served, or an error: there is no state
// in between. [Server.Close] ends it. A server that etcd gives up on (a full or
// broken disk, as a rule) closes [Server.Done] by itself, and Close says why:
// etcd would exit the process instead. Whoever runs a server for long should
// wait for Done.
//
// A member of several serves when a majority runs: Start waits for that as long
// as its context lives. Close then has another member take the lead first, for
// which it may need some seconds if a majority is gone.
//
// Close cuts the connections: an open watch would hold a polite shutdown up for
// five seconds and more. A request in flight fails with Unavailable, and like
// one cut by a crash it may have been committed. Close takes milliseconds, or
// up to three seconds while somebody connects without saying anything.
//
// # Data
//
// A server started again on the same directory has the same keys, leases and
// users, on whatever port. A restart gives each lease its full time again. One
// server at a time: a second one is refused at once, be it of this package or
// an etcd started otherwise. A new directory takes 128 MB, which etcd reserves
// for its log, and gets a cluster id of its own: the id in a reply's header
// tells a restart from a wiped disk. A first start that was killed before it
// served anything is begun anew; what it wrote is set aside. That is for a
// cluster of one: a member of several may have voted, and keeps what it has.
//
// History is compacted by itself, see [KeptRevisions], so that a server can run
// for months; it stays far below etcd's limit of 2 GB of data.
//
// # What is not promised
//
// One member is one point of failure: leases and locks last, but nothing can be
// acquired or renewed while it is down. Three members outlive the loss of one.
package etcdserver
