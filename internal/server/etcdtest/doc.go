// Package etcdtest is for tests: it gives them an etcd. That is the one built in, in this process, unless the environment
// variable LOCKED_TEST_ETCD names another release, such as 3.5.23, which is then built, kept outside of the tree, and run as a
// process; or the file of an etcd program, by a path with a slash in it. The command in matrix runs the tests against all
// [Releases].
package etcdtest

// Variable is that of the environment.
const Variable = "LOCKED_TEST_ETCD"
