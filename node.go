package locked

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/samcday/locked/internal/election"
)

// Node is one candidate of an election. Its methods may be called from any goroutine.
type Node struct {
	l     *Locker
	path  string
	id    string
	ttl   time.Duration
	grace time.Duration
	check func(context.Context) error

	value   atomic.Pointer[string]
	belief  atomic.Pointer[belief]        // of the last term
	working atomic.Int64                  // goroutine in which Lead runs the work of a term; 0 while it does not
	state   atomic.Pointer[electionState] // while the node runs, or somebody listens to its events

	// Owned by the loop.
	candidate  *election.Candidate
	group      *leaseGroup
	running    bool          // from Start until nothing of the node is left in etcd
	stopping   bool          // it shall not run any more
	entering   *starting     // waits until the node is in the queue or elected
	settling   []func(error) // wait until its value is in etcd
	leaving    []func(error) // wait until nothing of it is left
	next       []*starting   // wait for that too, to begin then
	failure    error         // of the last request that failed
	complaint  string        // what was told of it; empty once etcd does what it is asked
	campaign   *campaign     // that Lead runs
	term       *Term         // whose work goes on
	cause      error         // of the end of the last term
	deadline   time.Duration // of its lease, then
	forsaken   bool          // etcd does not let it delete its key, which ends with its lease
	leaveBy    *time.Timer   // waits until it has to be gone; nil while it does not stop, or its work goes on
	unanswered bool          // that time is over
	unfit      bool          // its check has not passed
	checks     context.CancelFunc
	frozen     time.Duration // reading of the clock at which that is given up on; 0 while it is not
}

// Node gives a node that competes for the path once it is started. Nothing is sent to etcd before. It refuses settings that
// cannot work with a [ConfigError].
func (l *Locker) Node(path string, cfg NodeConfig) (*Node, error) {
	cfg, err := cfg.check(path, l.ttl)
	if err != nil {
		return nil, err
	}
	n := &Node{l: l, path: path, id: cfg.ID, ttl: cfg.TTL, grace: cfg.Grace, check: cfg.Check}
	value := cfg.Value // not the pointer into cfg, which would keep all of that
	n.value.Store(&value)
	n.candidate = election.NewCandidate(path, l.nonce(), cfg.Grace)
	return n, nil
}

// Start makes the node compete, and returns once it is in the queue or elected. From then on it is a candidate until it
// is stopped, whatever happens to etcd meanwhile; ctx bounds the start alone.
//
// A start that fails leaves the node stopped, and nothing in etcd beyond a TTL. It fails with the context's error, with
// [ErrStarted], with [ErrClosed], with [ErrStopped] after a Stop meanwhile, with what etcd refused (a missing permission, a
// wrong password), with [ErrUnhealthy] when the node's check has not passed within the request timeout of the Locker, or with
// [ErrUnreachable] when etcd has not answered within that.
func (n *Node) Start(ctx context.Context) error {
	return n.begin(ctx, nil)
}

// Stop makes the node stop competing, and hands over what it leads to the next in line, in one commit. It returns once
// that is known to be done. Belief ends at once in any case. Stopping a node that does not run does nothing.
//
// Work that [Node.Lead] guards has as long as ctx lives, and what is then left on the lease, to end before leadership is handed
// over. For etcd Stop waits up to the request timeout of the Locker, however long ctx lives, and then returns [ErrUnreachable].
// Then, and when it returns the error of ctx, the handing over goes on by itself, until the lease has ended at the latest. When
// etcd refuses it, as it does once the permission to write the path was taken away, that error is returned, and the node's keys
// end with its lease, which is not renewed any more. It returns [ErrInLead] to the function that it would wait for.
func (n *Node) Stop(ctx context.Context) error {
	if n.inLead(goroutine()) {
		return ErrInLead
	}
	stop := func(answer func(error)) { n.stop(election.Stopped, answer) }
	err := n.l.ask(ctx, stop, func(err error, answer func(error)) {
		if n.stopping {
			n.freeze()
		}
		answer(err)
	})
	if errors.Is(err, ErrClosed) && n.l.handedOver.Load() {
		return nil // Close has stopped it
	}
	if err != nil {
		return failure(err, "stopping %s at %s", n.id, n.path)
	}
	return nil
}

// SetValue changes what the node announces: at once in etcd if it leads or waits, and otherwise from the next start on.
// The token and the place in the queue stay. When it returns the context's error the change is neither done nor undone:
// the node goes on trying to make it. It returns [ErrStopped] when the node stops meanwhile: then the next start takes the
// new value.
func (n *Node) SetValue(ctx context.Context, value string) error {
	if err := checkValue(value); err != nil {
		return err
	}
	set := func(answer func(error)) { n.set(value, answer) }
	err := n.l.ask(ctx, set, func(err error, answer func(error)) { answer(err) })
	if err != nil && !errors.Is(err, ErrClosed) {
		return failure(err, "setting the value of %s at %s", n.id, n.path)
	}
	return err
}

// Events tells what happens from now on, beginning with the state as it is: a change or a vacant, and a select if the node
// is elected. The channel is closed when ctx or the Locker ends. It may be called before Start, and goes on after Stop.
//
// Changes come in the order of their revisions; select and deselect alternate. A receiver that is slow never delays the
// election: it loses pings and refreshes, and of many changes that it has not received it gets the latest.
func (n *Node) Events(ctx context.Context) <-chan Event {
	return n.l.subscribe(ctx, n.path, n)
}

// Leader is the elected node as this process knows it, in one consistent snapshot; the zero Leader if that is nobody, or
// if the node neither runs nor is listened to. Ask [Locker.Leader] for what etcd knows.
func (n *Node) Leader() Leader {
	if st := n.state.Load(); st != nil {
		return *st.leader.Load()
	}
	return Leader{}
}

// ID is that of the elected node, empty when nobody is: see [Node.Leader].
func (n *Node) ID() string { return n.Leader().ID }

// Value is that of the elected node, empty when nobody is: see [Node.Leader].
func (n *Node) Value() string { return n.Leader().Value }

// Path is the election that the node competes in.
func (n *Node) Path() string { return n.path }

// Config is what the node was made with, with what was left out filled in and the TTL rounded up: the settings in effect. Its
// Value is the one that was set last.
func (n *Node) Config() NodeConfig {
	return NodeConfig{ID: n.id, Value: n.LocalValue(), TTL: n.ttl, Grace: n.grace, Check: n.check}
}

// LocalID is the node's own id.
func (n *Node) LocalID() string { return n.id }

// LocalValue is the node's own value, as it was last set.
func (n *Node) LocalValue() string { return *n.value.Load() }

// LocalData is what the node writes to etcd when it is elected: its id, ":::" and its value.
func (n *Node) LocalData() string { return election.Join(n.id, n.LocalValue()) }

// IsSelected reports whether the node is elected, and its lease proven to be alive, at this instant. It asks a clock
// that counts suspends, and no network. It may become false between the answer and what you do with it: only a fenced
// write is safe from that.
func (n *Node) IsSelected() bool {
	b := n.belief.Load()
	return b != nil && b.holds(n.l.clock.Now())
}

// Token is that of the term that the node holds, 0 if [Node.IsSelected] would be false. It is larger than that of every
// earlier term of the path.
func (n *Node) Token() int64 {
	if b := n.belief.Load(); b != nil && b.holds(n.l.clock.Now()) {
		return b.token
	}
	return 0
}

// Remaining is how long IsSelected will be true without another renewal, 0 if it is not.
func (n *Node) Remaining() time.Duration {
	now := n.l.clock.Now()
	if b := n.belief.Load(); b != nil && b.holds(now) {
		return b.remaining(now)
	}
	return 0
}
