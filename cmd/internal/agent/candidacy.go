package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/clock"
)

// candidacy is one open campaign: a node, and what its caller was told.
//
// The caller leads as long as it believes what it was told, so its belief is the work that [locked.Node.Lead] guards:
// nobody else is elected before the last promise has run out, or the caller has said that it is done. What ends it: the
// caller has closed its connection (leave), or the connection is lost (hold).
type candidacy struct {
	key    string // that its caller proves by that it is his
	holder holder // for whom it counts
	path   string
	id     string
	ttl    time.Duration
	grace  time.Duration
	node   *locked.Node

	ctx    context.Context // of Lead
	cancel context.CancelFunc
	over   chan struct{} // closed when nothing of it is left, or that cannot be known
	err    error         // of Lead, then
	parted chan struct{} // closed when the caller is not told anything any more
	gone   chan struct{} // closed when he believes nothing any more

	mu       sync.Mutex
	told     int64         // token of the term that the caller was told of and was not told the end of; 0 for none
	promised time.Duration // uptime up to which the caller may believe to lead
	ended    bool          // nothing is promised any more; parted is closed
	left     bool          // gone is closed
	term     int64         // token of the present term, or the last one
	done     chan struct{} // closed when the caller has ended its work for the present term
}

func newCandidacy(l *locked.Locker, path string, cfg locked.NodeConfig) (*candidacy, error) {
	node, err := l.Node(path, cfg)
	if err != nil {
		return nil, err
	}
	cfg = node.Config()
	ctx, cancel := context.WithCancel(context.Background())
	return &candidacy{
		ctx: ctx, cancel: cancel,
		key: newSecret(), path: path, id: cfg.ID, ttl: cfg.TTL, grace: cfg.Grace, node: node,
		over: make(chan struct{}), parted: make(chan struct{}), gone: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// run competes until the candidacy is left, the node stopped, or etcd refuses for good.
func (c *candidacy) run() {
	c.err = c.node.Lead(c.ctx, c.believe)
	close(c.over)
}

// believe is the guarded work: it returns when the caller does not believe any more in the term.
func (c *candidacy) believe(ctx context.Context, term *locked.Term) error {
	c.mu.Lock()
	done := make(chan struct{})
	c.done, c.term = done, term.Token()
	c.mu.Unlock()
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done(): // from now on promise gives nothing
	}
	extra := c.grace
	if errors.Is(context.Cause(ctx), locked.ErrExpired) {
		extra = 0 // others wait for the lease anyway
	}
	c.outlast(extra, done)
	return nil
}

// outlast waits until the last promise has run out, and some time more; or the caller is gone, or done.
func (c *candidacy) outlast(extra time.Duration, done <-chan struct{}) {
	c.mu.Lock()
	until := c.promised
	c.mu.Unlock()
	if until == 0 {
		return
	}
	until += extra
	for left := until - clock.Uptime(); left > 0; left = until - clock.Uptime() {
		t := time.NewTimer(left)
		select {
		case <-t.C:
			continue
		case <-c.gone:
		case <-done:
		}
		t.Stop()
		return
	}
}

// tell notes that the caller is being told that it leads, or with 0 that it does not.
func (c *candidacy) tell(token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = token
}

// promise is for how long the caller may go on believing that it leads, and up to which uptime. That is remembered, so it
// must be asked before the caller is told.
func (c *candidacy) promise() (good, until time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.told == 0 {
		return 0, 0
	}
	now := clock.Uptime()
	good = c.node.Remaining().Truncate(time.Millisecond)
	if good == 0 || c.node.Token() != c.told {
		return 0, 0
	}
	c.promised = max(c.promised, now+good)
	return good, now + good
}

// release ends the work for a term that has ended. It reports whether that term has. One that comes so late that a later
// term has begun changes nothing.
func (c *candidacy) release(token int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token > c.term || c.node.IsSelected() && c.node.Token() == token {
		return false
	}
	if token < c.term {
		return true
	}
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	return true
}

// leave ends the candidacy at once: its caller believes nothing any more.
func (c *candidacy) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	if !c.left {
		c.left = true
		close(c.gone)
		c.cancel()
	}
}

func (c *candidacy) end() {
	if !c.ended {
		c.ended = true
		close(c.parted)
	}
}

// hold ends the candidacy of a caller who cannot be told any more, and perhaps goes on believing: when what he was told has
// run out, and the time in which work may end. He is gone for good if he does not lead.
func (c *candidacy) hold() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.outlast(c.grace, nil)
	c.leave()
}

// held is how long a candidacy that has ended is still held, 0 if it is not.
func (c *candidacy) held() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended || c.left {
		return 0
	}
	return max(0, c.promised+c.grace-clock.Uptime())
}

func (c *candidacy) isEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}
