package chaos

import (
	"io"
	"time"

	"github.com/samcday/locked/internal/server/etcdproc"
)

// The size of a run. Candidates are fewer than elections, so that one process leads several of them.
const (
	DefaultTTL       = 2 * time.Second // the shortest that etcd grants with its default timing
	DefaultElections = 8
	candidates       = 6
	members          = 3
	round            = 20 * time.Second // then all faults are healed, until everybody has a leader again
)

// AgainstConcurrency makes the candidates compete with etcd's own Election.
const AgainstConcurrency = "concurrency"

// Options say what to run.
type Options struct {
	Duration  time.Duration
	Seed      uint64
	Elections int
	TTL       time.Duration
	Against   string   // [AgainstConcurrency], or empty for this library
	Break     string   // the name of a [Rule], or empty
	Endpoints []string // HOST:PORT of the members of a cluster that is there for tests; empty to start one

	Etcd *etcdproc.Program // that is run for each member of etcd, in place of Program; nil for the etcd built in

	Program   string   // that is run for each process
	Member    []string // its arguments, from its name on, with which it calls [cluster.RunMember]
	Candidate []string // and [RunCandidate]
	Stderr    io.Writer

	Progress func(Progress) // may be nil
}

// Progress is how a run goes on.
type Progress struct {
	Phase      string // what is being done, in words
	Elapsed    time.Duration
	Duration   time.Duration
	Faults     int
	Hit        int
	Changes    int // of leaders, about
	Violations int
	News       []Violation // that were not told before
}
