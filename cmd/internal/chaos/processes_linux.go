package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/cluster"
)

// processes are the candidates, each a process of its own with links of its own to the members of etcd.
type processes struct {
	command  child.Command
	dir      string
	settings candidateSettings // of all
	all      []*process
}

// fresh is how old the last yes of a candidate may be for it to count as a leader, when faults are aimed.
const fresh = 150 * time.Millisecond

// process is one candidate: one process after the other.
type process struct {
	processes *processes
	name      string
	number    int
	links     []*cluster.Link // to the members that it knows

	mu     sync.Mutex
	proc   *child.Process
	board  *board
	starts int
	busy   bool  // a fault is being made to it
	failed error // it could not be started again
}

func (f *processes) add(links []*cluster.Link) error {
	r := &process{processes: f, name: fmt.Sprintf("c%d", len(f.all)+1), number: len(f.all), links: links}
	f.all = append(f.all, r)
	return r.start()
}

func (r *process) who() string { return fmt.Sprintf("%s.%d", r.name, r.starts) }

// now is the name of the process that the candidate is at this time.
func (r *process) now() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.who()
}

// start runs the candidate's next process.
func (r *process) start() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.processes.settings
	r.starts++
	s.Name, s.Who, s.Number = r.name, r.who(), r.number
	for _, l := range r.links {
		s.Endpoints = append(s.Endpoints, l.Addr())
	}
	s.Journal = filepath.Join(r.processes.dir, s.Who+".journal")
	s.Board = filepath.Join(r.processes.dir, s.Who+".board")
	if r.board != nil {
		if err := r.board.close(); err != nil {
			return err
		}
	}
	if r.board, err = openBoard(s.Board, s.Elections); err != nil {
		return err
	}
	p, err := child.Run(r.processes.command, s, func(string) {})
	if p != nil { // otherwise the last one stays, which has ended: faults are made to it until the run ends for this
		r.proc = p
	}
	return err
}

// tell writes a line to the candidate. If it has ended that does nothing.
func (r *process) tell(format string, args ...any) {
	r.mu.Lock()
	p := r.proc
	r.mu.Unlock()
	_ = p.Tell(fmt.Sprintf(format, args...))
}

// leads gives the elections that the candidate believes to lead, and the terms.
func (r *process) leads() map[int]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	led := map[int]int64{}
	for e := range r.processes.settings.Elections {
		if token := r.board.believes(e, fresh); token != 0 {
			led[e] = token
		}
	}
	return led
}

// read reads a word of the candidate's board.
func (r *process) read(word int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.board.get(word)
}

// touched counts what was held back or delayed on the candidate's links.
func (r *process) touched() (n int64) {
	for _, l := range r.links {
		n += l.Up.Touched() + l.Down.Touched()
	}
	return n
}

// leader gives the candidate that believes to lead an election, if any.
func (f *processes) leader(election int) *process {
	var found *process
	var latest int64
	for _, r := range f.all {
		r.mu.Lock()
		token := r.board.believes(election, fresh)
		r.mu.Unlock()
		if token > latest {
			found, latest = r, token
		}
	}
	return found
}

// vacant gives the elections without a leader.
func (f *processes) vacant() (list []int) {
	for e := range f.settings.Elections {
		if f.leader(e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// awaitLeaders waits until each election has a leader, and gives those that have none when ctx ends.
func (f *processes) awaitLeaders(ctx context.Context) (vacant []int) {
	for {
		if vacant = f.vacant(); len(vacant) == 0 || ctx.Err() != nil {
			return vacant
		}
		clock.Pause(ctx, 10*time.Millisecond)
	}
}

func (r *process) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
}

// ended tells of a process that has ended although nobody made it.
func (f *processes) ended() error {
	for _, r := range f.all {
		r.mu.Lock()
		p, busy, failed := r.proc, r.busy, r.failed
		r.mu.Unlock()
		if failed != nil {
			return fmt.Errorf("candidate %s: %w", r.name, failed)
		}
		select {
		case <-p.Done():
			if !busy {
				return fmt.Errorf("candidate %s has ended by itself", r.name)
			}
		default:
		}
	}
	return nil
}

// quit lets the candidates leave, for at most the limit, and ends them.
func (f *processes) quit(limit time.Duration) {
	var ends sync.WaitGroup
	for _, r := range f.all {
		if r.proc == nil {
			continue
		}
		ends.Go(func() {
			r.tell("quit")
			select {
			case <-r.proc.Done():
			case <-time.After(limit):
			}
			r.proc.Kill()
		})
	}
	ends.Wait()
}

// kill ends the candidates at once.
func (f *processes) kill() {
	for _, r := range f.all {
		if r.proc != nil {
			r.proc.Kill()
		}
		if r.board != nil {
			_ = r.board.close() // nothing is read from it any more
		}
	}
}

// collect reads what all candidates have written down so far.
func (f *processes) collect() (beliefs []Belief, writes []Write, err error) {
	names, err := filepath.Glob(filepath.Join(f.dir, "*.journal"))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		b, w := readJournal(text)
		if err := lastWords(name[:len(name)-len("journal")]+"board", f.settings.Elections, b); err != nil {
			return nil, nil, err
		}
		beliefs, writes = append(beliefs, b...), append(writes, w...)
	}
	return beliefs, writes, nil
}

// readJournal puts the lines of a journal together. The last one may have been cut off by a kill.
func readJournal(text []byte) (beliefs []Belief, writes []Write) {
	type key struct {
		election int
		token    int64
	}
	index := map[key]int{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var e entry
		if json.Unmarshal(s.Bytes(), &e) != nil {
			continue
		}
		switch {
		case e.Began != nil:
			index[key{e.Began.Election, e.Began.Token}] = len(beliefs)
			beliefs = append(beliefs, *e.Began)
		case e.Ended != nil:
			if i, ok := index[key{e.Ended.Election, e.Ended.Token}]; ok {
				beliefs[i].Last, beliefs[i].Until, beliefs[i].Ended = e.Ended.Last, e.Ended.Until, e.Ended.Ended
			}
		case e.Cause != nil:
			if i, ok := index[key{e.Cause.Election, e.Cause.Token}]; ok {
				beliefs[i].Cause = e.Cause.Cause
			}
		case e.Write != nil:
			writes = append(writes, *e.Write)
		}
	}
	return beliefs, writes
}

// lastWords completes the beliefs that have not ended, by the board.
func lastWords(name string, elections int, beliefs []Belief) error {
	b, err := openBoard(name, elections)
	if err != nil {
		return err
	}
	for i := range beliefs {
		if beliefs[i].Ended != 0 {
			continue
		}
		if token, last, until := b.belief(beliefs[i].Election); token == beliefs[i].Token && last > beliefs[i].Last {
			beliefs[i].Last, beliefs[i].Until = last, until
		}
	}
	return b.close()
}
