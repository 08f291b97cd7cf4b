package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// record is something that the demo has seen. The fields that are read from JSON are those of a candidate's event.
type record struct {
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	Value    string    `json:"value"`
	Token    int64     `json:"token"`
	Revision int64     `json:"revision"`
	Cause    string    `json:"cause"`
	At       time.Time `json:"at"`

	who string // whose event it is: a candidate's name, or etcd
}

const etcdItself = "etcd" // who tells of changes of the key

// Kinds of records that are not events.
const (
	put     = "put"     // of the key, in etcd
	deleted = "deleted" // the key, in etcd
	killed  = "killed"  // by the demo, a moment later
	ended   = "ended"   // a process, as it should
	failed  = "failed"  // a process ended, and should not
)

// String is the record on one line, for those who want to know what went wrong.
func (r record) String() string {
	s := r.Kind
	if r.ID != "" || r.Value != "" {
		s += fmt.Sprintf(" %s %q", r.ID, r.Value)
	}
	if r.Token != 0 {
		s += fmt.Sprintf(" token %d", r.Token)
	}
	if r.Revision != 0 {
		s += fmt.Sprintf(" revision %d", r.Revision)
	}
	if r.Cause != "" {
		s += ": " + r.Cause
	}
	return s
}

// journal keeps all records in the order in which they came.
type journal struct {
	mu      sync.Mutex
	records []record
	more    chan struct{} // closed when there is another one
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

func (j *journal) add(r record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, r)
	close(j.more)
	j.more = make(chan struct{})
}

func (j *journal) len() int { return len(j.all(0)) }

// all gives the records from a place on.
func (j *journal) all(from int) []record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records[from:])
}

// next waits for the first record from a place on that matches, and gives the place after it.
func (j *journal) next(ctx context.Context, from int, match func(record) bool) (record, int, error) {
	for {
		j.mu.Lock()
		records, more := j.records, j.more
		j.mu.Unlock()
		for ; from < len(records); from++ {
			if match(records[from]) {
				return records[from], from + 1, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return record{}, from, ctx.Err()
		}
	}
}

// await waits for a record from a place on that matches, and no longer than anybody would want to watch. It gives up when
// a process has failed.
func (j *journal) await(ctx context.Context, from int, what string, match func(record) bool) (record, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fails := func(r record) bool { return r.Kind == failed }
	if i := slices.IndexFunc(j.all(0)[:from], fails); i >= 0 {
		r := j.all(i)[0]
		return r, broken("%s has ended by itself: %s", r.who, r.Cause)
	}
	r, _, err := j.next(limited, from, func(r record) bool { return match(r) || fails(r) })
	switch {
	case err != nil && ctx.Err() == nil:
		return r, broken("%s: not within %v", what, limit)
	case err == nil && fails(r):
		return r, broken("%s has ended by itself: %s", r.who, r.Cause)
	}
	return r, err
}

// of waits for a record of one kind.
func (j *journal) of(ctx context.Context, from int, who, kind string) (record, error) {
	return j.await(ctx, from, kind+" of "+who, func(r record) bool { return r.who == who && r.Kind == kind })
}

// latest gives the last record of somebody that is of one of some kinds, or none.
func (j *journal) latest(who string, kinds ...string) record {
	for _, r := range slices.Backward(j.all(0)) {
		if r.who == who && slices.Contains(kinds, r.Kind) {
			return r
		}
	}
	return record{}
}

// term is a stretch of time in which a candidate believed to lead.
type term struct {
	who        string
	token      int64
	began, end time.Time
}

// terms gives all terms, in the order in which they began.
func (j *journal) terms() []term {
	var all []*term
	open := map[string]*term{}
	for _, r := range j.all(0) {
		switch r.Kind {
		case "select":
			open[r.who] = &term{who: r.who, token: r.Token, began: r.At}
			all = append(all, open[r.who])
		case "deselect", killed, ended, failed:
			if t := open[r.who]; t != nil {
				t.end = r.At
				delete(open, r.who)
			}
		}
	}
	slices.SortFunc(all, func(a, b *term) int { return a.began.Compare(b.began) })
	terms := make([]term, len(all))
	for i, t := range all {
		if terms[i] = *t; t.end.IsZero() {
			terms[i].end = time.Now()
		}
	}
	return terms
}

// judge looks for two terms at one time, and for tokens that do not grow. It gives the shortest time between two terms.
func judge(terms []term) (closest time.Duration, err error) {
	for i := 1; i < len(terms); i++ {
		before, after := terms[i-1], terms[i]
		gap := after.began.Sub(before.end)
		if gap < 0 {
			return 0, broken("%s led until %v after %s had begun to", before.who, -gap, after.who)
		}
		if after.token <= before.token {
			return 0, broken("%s has token %d, which is not larger than token %d of %s before it",
				after.who, after.token, before.token, before.who)
		}
		if i == 1 || gap < closest {
			closest = gap
		}
	}
	return closest, nil
}

// tokens lists the tokens of the terms.
func tokens(terms []term) string {
	s := ""
	for i, t := range terms {
		if i > 0 {
			s += " < "
		}
		s += fmt.Sprint(t.token)
	}
	return s
}
