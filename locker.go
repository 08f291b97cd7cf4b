package locked

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/election"
	"github.com/samcday/locked/internal/etcd"
	"github.com/samcday/locked/internal/logqueue"
	"github.com/samcday/locked/internal/mailbox"
	"github.com/samcday/locked/internal/testhook"
)

// Locker is a connection to etcd that nodes compete through. All its nodes share a few leases and one watch stream. Its
// methods may be called from any goroutine.
type Locker struct {
	client  *clientv3.Client
	owned   bool // the client is closed with the locker
	etcd    *etcd.Conn
	log     *slog.Logger
	records *logqueue.Queue // of the log, nil if nobody gets them
	clock   clock.Clock
	ttl     time.Duration
	timeout time.Duration
	seed    string

	ctx    context.Context // ends with the locker
	cancel context.CancelFunc
	tasks  sync.WaitGroup // all goroutines
	box    *mailbox.Mailbox[func()]
	closed chan struct{} // closed when the loop takes nothing more

	handedOver atomic.Bool // Close has stopped every node

	// Owned by the loop.
	closing       bool
	gaveUp        bool // on work that goes on
	askedVersions bool
	states        map[string]*electionState
	groups        map[time.Duration][]*leaseGroup
	batches       *etcd.Batches
	leases        *etcd.Leases
	watches       *etcd.Watches
	expiry
	outage outage
	backAt *time.Duration // reading of the clock when etcd was found to have gone back last

	watchdog *watchdog

	counters counters
}

// New gives a Locker with an etcd client of its own for the endpoints, a comma-separated list of HOST:PORT, each with
// http://, https:// or unix:// before it if that is meant. It refuses others with a [ConfigError]. It does not wait for
// etcd, except that [WithAuth] makes it ask for a token, and refuses a wrong password: that takes the request timeout at
// most. An endpoint where nobody answers is told of by [Node.Start] and the other calls.
func New(endpoints string, opts ...Option) (*Locker, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	config, err := o.client(endpoints)
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, failure(err, "connecting to %s", endpoints)
	}
	l, err := newLocker(client, o)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	l.owned = true
	return l, nil
}

// client is the configuration of an etcd client.
func (o *options) client(endpoints string) (clientv3.Config, error) {
	config, err := etcd.Config(endpoints, o.timeout)
	config.TLS, config.Username, config.Password = o.tls, o.user, o.password
	return config, refused(err)
}

// refused makes a ConfigError of a setting that is refused below.
func refused(err error) error {
	if r := (*etcd.Refused)(nil); errors.As(err, &r) {
		return &ConfigError{r.Field, r.Value, r.Want}
	}
	return err
}

// NewFromClient gives a Locker on a client that the caller goes on owning, and must not close before the Locker. The client
// must be as clientv3.New gives it: with the wrappers of [go.etcd.io/etcd/client/v3/namespace] it is refused, and [WithNamespace]
// takes their place. etcd's gRPC proxy will not do, since it answers renewals from memory.
func NewFromClient(client *clientv3.Client, opts ...Option) (*Locker, error) {
	o, err := newOptions(opts)
	switch {
	case err != nil:
		return nil, err
	case o.tls != nil:
		return nil, &ConfigError{"WithTLS", "given", "the client that NewFromClient is given has its own TLS settings"}
	case o.user != "":
		return nil, &ConfigError{"WithAuth", "given", "the client that NewFromClient is given has its own user"}
	}
	return newLocker(client, o)
}

func newLocker(client *clientv3.Client, o options) (*Locker, error) {
	conn, err := etcd.New(client, o.namespace, o.timeout)
	if err != nil {
		return nil, refused(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	var records *logqueue.Queue
	hooks := testhook.From(client.Ctx())
	switch {
	case o.log != nil && hooks.DirectLog:
		log = o.log
	case o.log != nil:
		records, log = logqueue.New(o.log)
	}
	l := &Locker{
		client: client, etcd: conn,
		log: log, records: records, clock: hooks.Clock, ttl: o.ttl, timeout: o.timeout, seed: strings.ToLower(rand.Text()[:12]),
		ctx: ctx, cancel: cancel, box: mailbox.New[func()](), closed: make(chan struct{}),
		counters: counters{ends: map[error]int64{}},
		expiry:   expiry{nodes: map[*Node]struct{}{}, timer: stoppedTimer()},
		states:   map[string]*electionState{}, groups: map[time.Duration][]*leaseGroup{},
	}
	l.batches = etcd.NewBatches(conn, l.host())
	l.leases = etcd.NewLeases(conn, l.host(), l.counters.verification.add)
	l.watches = etcd.NewWatches(conn, l.host(), l.rely)
	conn.WhenBack(func(b etcd.Back) { l.post(func() { l.wentBack(b) }) })
	l.watchdog = newWatchdog(l.clock)
	l.tasks.Add(1)
	go l.run()
	if hooks.Loop != nil {
		hooks.Loop(l.post)
	}
	return l, nil
}

// host is what the loop is to those below that keep something.
func (l *Locker) host() etcd.Host {
	return etcd.Host{Context: l.ctx, Clock: l.clock, Log: l.log, Post: l.post, Spawn: l.spawn}
}

// run is the loop: everything that the nodes, their leases and their watches know is touched by it alone.
func (l *Locker) run() {
	defer l.tasks.Done()
	defer close(l.closed)
	defer l.expiry.timer.Stop()
	defer l.watches.Stop()
	for {
		select {
		case <-l.box.Wake():
			for _, f := range l.box.Take() {
				f()
			}
		case <-l.expiry.timer.C:
			l.expire()
		case <-l.ctx.Done():
			for _, f := range l.box.Close() {
				f() // they see a locker that is closing, and answer whoever waits
			}
			l.unlisten()
			return
		}
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// post makes the loop do something. After Close it is never done.
func (l *Locker) post(f func()) { l.box.Post(f) }

// ask makes the loop do something that ends in an answer, and waits for it. When ctx ends first, abandon is done, which
// must answer too.
func (l *Locker) ask(ctx context.Context, f func(answer func(error)), abandon func(err error, answer func(error))) error {
	c := make(chan error, 1)
	answer := func(err error) {
		select {
		case c <- err:
		default: // it was answered before
		}
	}
	l.post(func() { f(answer) })
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		l.post(func() { abandon(ctx.Err(), answer) })
	case <-l.closed:
	}
	select {
	case err := <-c:
		return err
	case <-l.closed:
	}
	select {
	case err := <-c:
		return err
	default:
		return ErrClosed
	}
}

// unreached is ErrUnreachable, with what was not reached.
func (l *Locker) unreached() error { return fmt.Errorf("%w (%s)", ErrUnreachable, l.etcd.Endpoints()) }

// spawn starts a goroutine that Close waits for.
func (l *Locker) spawn(f func()) {
	l.tasks.Add(1)
	go func() {
		defer l.tasks.Done()
		f()
	}()
}

// logPatience is how long Close waits for a log handler.
const logPatience = time.Second

// Close stops all nodes and hands over what they lead, as [Node.Stop] does; then it ends everything that the locker has running,
// and the channels of its subscribers. Its leases are revoked once nothing is left on them, so that nothing of ours is left in
// etcd; if that cannot be known in time they end by themselves within a TTL.
//
// Work that [Node.Lead] guards has as long as ctx lives to end: what goes on then keeps its lease until that runs out, and the
// error is that of ctx. The handing over itself has up to the request timeout, however long ctx lives, and also if it has ended
// before: if etcd does not answer in that time the error is [ErrUnreachable]. What etcd refuses is returned too: see [Node.Stop].
// It returns [ErrInLead] to a function that it would wait for, and closes nothing.
func (l *Locker) Close(ctx context.Context) error {
	caller := goroutine()
	err := l.ask(ctx, func(answer func(error)) { l.close(caller, answer) }, func(err error, _ func(error)) { l.hurry(err) })
	if errors.Is(err, ErrInLead) {
		return err
	}
	if errors.Is(err, ErrClosed) && l.handedOver.Load() {
		err = nil // an earlier call has done it
	}
	l.cancel()
	l.tasks.Wait()
	l.watchdog.stop()
	limited, cancel := context.WithTimeout(context.Background(), logPatience)
	defer cancel()
	l.records.Close(limited)
	if l.owned {
		if cerr := l.client.Close(); err == nil && !errors.Is(cerr, context.Canceled) {
			err = cerr
		}
	}
	return err
}

// hurry does not wait any more for work that goes on.
func (l *Locker) hurry(err error) {
	for _, st := range l.states {
		for _, n := range st.nodes {
			if n.works() {
				l.gaveUp = true
				answerAll(&n.leaving, err)
			}
		}
	}
}

// inLead reports whether a goroutine runs the work of a node's term, of that path or of any.
func (l *Locker) inLead(caller int64, path string) bool {
	for _, st := range l.states {
		if (path == "" || st.path == path) && slices.ContainsFunc(st.nodes, func(n *Node) bool { return n.inLead(caller) }) {
			return true
		}
	}
	return false
}

// close stops the nodes, and answers when they are all gone and the leases revoked.
func (l *Locker) close(caller int64, answer func(error)) {
	if l.inLead(caller, "") {
		answer(ErrInLead)
		return
	}
	l.closing = true
	l.watches.Ending()
	left := 1
	var refused error
	done := func(err error) {
		if refused == nil {
			refused = err
		}
		if left--; left == 0 {
			ids := l.leaseIDs()
			l.handedOver.Store(!l.gaveUp && !errors.Is(refused, ErrUnreachable))
			l.spawn(func() {
				if !errors.Is(refused, ErrUnreachable) {
					l.leases.Revoke(ids)
				}
				answer(refused)
			})
		}
	}
	for _, st := range l.states {
		for _, n := range slices.Clone(st.nodes) {
			left++
			n.stop(election.Stopped, done)
		}
	}
	done(nil)
}
