package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/child"
)

const (
	sampling     = 2 * time.Millisecond   // how often a candidate asks itself
	writing      = 100 * time.Millisecond // how often a leader writes
	writeLimit   = time.Second            // how long it waits for an answer
	leavingLimit = 3 * time.Second
	entering     = 200 * time.Millisecond // between the first elections that a candidate enters
)

// candidateSettings are those of the role of a candidate: one process that competes in all elections.
type candidateSettings struct {
	Name, Who string
	Number    int // of the candidate
	Endpoints []string
	Prefix    string
	Elections int
	TTL       time.Duration
	Against   string // empty for this library
	Break     string
	Journal   string
	Board     string
}

// elector takes part in one election.
type elector interface {
	// belief is the token of the term that it believes to hold at this instant, 0 if it does not lead, and for how long it
	// would go on believing that if nothing more were heard of etcd, 0 if it does not know.
	belief() (token int64, remaining time.Duration)
	// compete returns when ctx has ended, or after leave.
	compete(ctx context.Context, lead leadFunc)
	// leave gives up what it leads, and ends compete.
	leave(ctx context.Context) error
	// yield gives up what it leads, to the process with that name if that can be and it is not empty, or else to the next in
	// line, and goes on competing.
	yield(ctx context.Context, to string) error
}

// leadFunc is what a leader does. Its context ends with the term.
type leadFunc func(ctx context.Context, t term)

// term is a period of leadership.
type term struct {
	token int64
	put   func(ctx context.Context, key, value string) (revision int64, err error) // fenced
	cause func() string
}

var errFenced = errors.New("refused by the fence")

// candidate is the process.
type candidate struct {
	candidateSettings
	journal *journal
	who     []*candidacy
}

// candidacy is a candidate's part in one election.
type candidacy struct {
	*candidate
	election int
	elector

	mu      sync.Mutex
	started chan struct{} // closed while it shall compete
	seq     int64
}

// RunCandidate is the role of a candidate. It ends at once when stdin does.
func RunCandidate(stdin io.Reader) error {
	in := bufio.NewReader(stdin)
	c := &candidate{}
	if err := child.Settings(in, &c.candidateSettings); err != nil {
		return err
	}
	var err error
	if c.journal, err = openJournal(c.Journal); err != nil {
		return err
	}
	if c.journal.board, err = openBoard(c.Board, c.Elections); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	compete, closing, err := c.connect(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for e := range c.Elections {
		comp, err := compete(e)
		if err != nil {
			return err
		}
		p := &candidacy{candidate: c, election: e, elector: comp, started: closedChan()}
		c.who = append(c.who, p)
		running.Go(func() {
			// So that they do not all lead, and wait, in the same order everywhere.
			clock.Pause(ctx, time.Duration((e+c.Number)%candidates)*entering)
			p.run(ctx)
		})
	}
	go c.sample()
	if !c.obey(in) {
		os.Exit(0) // whoever ran it is gone
	}
	cancel()
	running.Wait()
	closing()
	time.Sleep(2 * sampling) // the last answer is no
	return nil
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// connect gives what makes the electors of this process.
func (c *candidate) connect(ctx context.Context) (compete func(election int) (elector, error), closing func(), err error) {
	if c.Against == AgainstConcurrency {
		return c.connectTheirs(ctx)
	}
	return c.connectOurs()
}

// obey does what it is told, line by line, and reports whether it was told to end.
func (c *candidate) obey(in *bufio.Reader) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "quit" {
			return true
		}
		number, to, _ := strings.Cut(rest, " ")
		e, err := strconv.Atoi(number)
		if err != nil || e < 0 || e >= len(c.who) {
			continue
		}
		switch p := c.who[e]; verb {
		case "leave":
			go p.pause()
		case "join":
			p.resume()
		case "yield":
			go p.giveWay(to)
		}
	}
}

func (p *candidacy) pause() {
	p.mu.Lock()
	p.started = make(chan struct{})
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), leavingLimit)
	defer cancel()
	_ = p.leave(ctx) // if it did not come through in time, the lease ends
}

func (p *candidacy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.started:
	default:
		close(p.started)
	}
}

func (p *candidacy) giveWay(to string) {
	ctx, cancel := context.WithTimeout(context.Background(), leavingLimit)
	defer cancel()
	_ = p.yield(ctx, to) // it may have lost the term by itself
}

// run competes whenever it shall.
func (p *candidacy) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.mu.Lock()
		started := p.started
		p.mu.Unlock()
		select {
		case <-started:
			p.compete(ctx, p.lead)
			clock.Pause(ctx, 10*time.Millisecond)
		case <-ctx.Done():
		}
	}
}

// lead writes again and again while the term lasts, and twice more after it, which the fence is to refuse if somebody
// else leads by then.
func (p *candidacy) lead(ctx context.Context, t term) {
	for ctx.Err() == nil {
		p.write(ctx, t, false)
		clock.Pause(ctx, writing)
	}
	cause := t.cause()
	p.journal.add(entry{Cause: &Belief{Election: p.election, Who: p.Who, Token: t.token, Cause: cause}})
	if cause != causeLost {
		return
	}
	go func() {
		p.write(context.Background(), t, true)
		time.Sleep(p.TTL)
		p.write(context.Background(), t, true)
	}()
}

// write tries one write, and notes how that ended.
func (p *candidacy) write(ctx context.Context, t term, after bool) {
	p.mu.Lock()
	p.seq++
	w := Write{Election: p.election, AfterTheTerm: after, Value: Value{Who: p.Who, Token: t.token, Seq: p.seq}}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	w.Value.Call = clock.Uptime()
	text, err := json.Marshal(w.Value)
	if err != nil {
		panic(err) // plain fields
	}
	w.Revision, err = t.put(ctx, registerKey(p.Prefix, p.election), string(text))
	w.Return = clock.Uptime()
	switch {
	case err == nil:
		w.Outcome = Acknowledged
		p.journal.add1(wordWrites)
	case errors.Is(err, errFenced):
		w.Outcome = Refused
		p.journal.add1(wordRefused)
	default:
		w.Outcome = Unknown
	}
	p.journal.add(entry{Write: &w})
}

// sample asks each elector again and again whether it leads, for as long as the process lives.
func (c *candidate) sample() {
	current := make([]Belief, len(c.who))
	denied := make([]time.Duration, len(c.who)) // when a question began that was last answered with no
	for ; ; time.Sleep(sampling) {
		for e, p := range c.who {
			before := clock.Uptime()
			token, remaining := p.belief()
			after := clock.Uptime()
			b := &current[e]
			if b.Token != 0 && b.Token != token {
				b.Ended = before
				c.journal.add(entry{Ended: b})
				c.journal.disbelieve(e)
				denied[e], b.Token = b.Last, 0
			}
			if token == 0 {
				denied[e] = before
			}
			if token != 0 && b.Token == 0 {
				*b = Belief{Election: e, Who: c.Who, Token: token, Asked: denied[e], First: after, Last: before}
				c.journal.add(entry{Began: b})
			}
			if token != 0 {
				b.Last, b.Until = before, before+remaining
				c.journal.believe(e, b)
			}
		}
		c.journal.set(wordAlive, int64(clock.Uptime()))
	}
}

// putFenced commits a put if a compare holds.
func putFenced(txn clientv3.Txn, key, value string) (int64, error) {
	resp, err := txn.Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		return 0, err
	}
	if !resp.Succeeded {
		return 0, errFenced
	}
	return resp.Header.Revision, nil
}
