package agent

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// mirror is every election below a prefix as etcd has it, kept by one watch for all who look. It runs while anybody does,
// and a while longer.
//
// Nobody who looks has a queue: he has a set of elections that have changed since he was last told, and is told how they
// are then. So one who is slow gets fewer words, and costs nothing.
type mirror struct {
	client *clientv3.Client
	prefix string

	mu        sync.Mutex
	elections map[string]*entry
	viewers   map[*viewer]struct{}
	etcd      etcdState
	synced    bool // elections is what etcd has
	sight     sight
	stop      context.CancelFunc
	idle      *time.Timer
	running   sync.WaitGroup
	closed    bool
}

// lingering is how long the mirror runs on without anybody who looks, as while a page is loaded again.
const lingering = time.Minute

// entry is one election of a mirror.
type entry struct {
	view    election.View
	terms   int       // seen since the mirror began to run
	since   time.Time // the term was seen to begin; zero if that was before
	vacated time.Time // the last term was seen to end; zero if somebody leads, or it was before
	gap     time.Duration
	gapped  bool   // gap is known
	json    []byte // nil when it must be made anew

	began  time.Duration // uptime at which the term, or the last one's end, was seen; 0 if it was not
	unseen time.Duration // how long nothing was seen that may have hidden how it came to that
}

// electionState is how an election is told of.
type electionState struct {
	Path     string     `json:"path"`
	Leader   *member    `json:"leader"` // null for nobody
	Since    *time.Time `json:"since,omitempty"`
	GapMS    *float64   `json:"gap_ms,omitempty"`
	UnseenMS *float64   `json:"unseen_ms,omitempty"`
	Terms    int        `json:"terms"`
	Queue    []member   `json:"queue"`
	Waiting  int        `json:"waiting"`
	Revision int64      `json:"revision"`
}

// member is a candidate of an election.
type member struct {
	ID        string  `json:"id"`
	Value     *string `json:"value,omitempty"`
	Base64    string  `json:"value_base64,omitempty"`
	Truncated bool    `json:"truncated,omitempty"`
	Token     int64   `json:"token,omitempty"`
	Revision  int64   `json:"revision"`
}

// etcdState is the state of the connection to etcd.
type etcdState struct {
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since"`
	Revision  int64     `json:"revision,omitempty"`
	LatencyMS float64   `json:"latency_ms,omitempty"` // of the last linearizable read
	Error     string    `json:"error,omitempty"`
}

// What is shown of an election, and of a value.
const (
	mostShown      = 100
	mostValueShown = 1 << 10
)

func newMirror(client *clientv3.Client, prefix string) *mirror {
	return &mirror{
		client: client, prefix: prefix, elections: map[string]*entry{}, viewers: map[*viewer]struct{}{},
		etcd: etcdState{Since: time.Now()},
	}
}

// replace takes what was read of everything at one revision.
func (m *mirror) replace(ctx context.Context, revision int64, keys map[string][]election.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	m.sight.look(true)
	for path, e := range m.elections {
		if revision < m.etcd.Revision { // it was restored from a snapshot
			e.view = election.View{}
		}
		if _, there := keys[path]; !there {
			m.change(path, e, false, func() { e.view.Reset(path, revision, nil) })
		}
	}
	for path, changes := range keys {
		e := m.entry(path)
		m.change(path, e, false, func() { e.view.Reset(path, revision, changes) })
	}
	m.etcd.Revision, m.synced = revision, true
	m.wakeAll()
}

// apply takes the changes of one revision.
func (m *mirror) apply(ctx context.Context, revision int64, keys map[string][]election.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	m.sight.look(false)
	for path, changes := range keys {
		e := m.entry(path)
		m.change(path, e, true, func() { e.view.Apply(path, revision, changes) })
	}
	m.etcd.Revision = revision
}

func (m *mirror) entry(path string) *entry {
	e := m.elections[path]
	if e == nil {
		e = new(entry)
		m.elections[path] = e
	}
	return e
}

// change lets an election change, and notes when its terms begin and end if it was seen to do so.
func (m *mirror) change(path string, e *entry, seen bool, f func()) {
	before, now := e.view.Term.Create, time.Now()
	f()
	after, hidden := e.view.Term.Create, m.sight.doubt(e.began)
	switch {
	case before == after:
	case !seen: // it was so before, or while etcd was out of sight: nobody knows since when, or whether there was a gap
		e.since, e.vacated, e.gapped, e.began, e.unseen = time.Time{}, time.Time{}, false, 0, hidden
		if after != 0 {
			e.terms++
		}
	case after == 0:
		e.vacated, e.began, e.unseen = now, m.sight.clock(), hidden
	default:
		e.terms++
		if before != 0 { // or else what hid the end of the one before is known from then
			e.unseen = 0
		}
		e.unseen = max(e.unseen, hidden)
		e.gapped = e.unseen == 0 && (before != 0 || !e.vacated.IsZero())
		e.since, e.gap, e.began = now, 0, m.sight.clock()
		if before == 0 && !e.vacated.IsZero() {
			e.gap = now.Sub(e.vacated)
		}
		e.vacated = time.Time{}
	}
	e.json = nil
	if !e.view.Term.Exists() && len(e.view.Queue) == 0 {
		m.forgetLater(path, e)
	}
	for v := range m.viewers {
		if strings.HasPrefix(path, v.prefix) {
			v.dirty[path] = struct{}{}
			v.wake()
		}
	}
}

// forgetLater drops an election of which nothing is left, when a handover or a restart would have brought it back.
func (m *mirror) forgetLater(path string, e *entry) {
	time.AfterFunc(lingering, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.elections[path] == e && !e.view.Term.Exists() && len(e.view.Queue) == 0 {
			delete(m.elections, path)
		}
	})
}

// reached notes how the connection to etcd is.
func (m *mirror) reached(ctx context.Context, took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	ok := err == nil
	if ok {
		m.sight.look(false)
	}
	if ok != m.etcd.Reachable {
		m.etcd.Reachable, m.etcd.Since = ok, time.Now()
		for v := range m.viewers {
			v.beat = true
			v.wake()
		}
	}
	m.etcd.Error = ""
	if ok {
		m.etcd.LatencyMS = float64(took.Microseconds()) / 1000
	} else {
		m.etcd.Error = err.Error()
	}
}

func (m *mirror) wakeAll() {
	for v := range m.viewers {
		v.wake()
	}
}

// render gives an election as JSON.
func (m *mirror) render(path string) []byte {
	e := m.elections[path]
	if e == nil {
		e = new(entry)
		e.view.Revision = m.etcd.Revision
	}
	if e.json == nil {
		e.json, _ = json.Marshal(e.state(path)) // it has nothing that could fail
	}
	return e.json
}

func (e *entry) state(path string) electionState {
	s := electionState{Path: path, Terms: e.terms, Queue: []member{}, Waiting: len(e.view.Queue), Revision: e.view.Revision}
	if e.view.Term.Exists() {
		leader := newMember(e.view.Term)
		leader.Token, leader.Revision = e.view.Term.Create, e.view.Term.Mod
		s.Leader = &leader
		if !e.since.IsZero() {
			s.Since = &e.since
		}
		if e.gapped {
			ms := float64(e.gap.Microseconds()) / 1000
			s.GapMS = &ms
		} else if e.unseen > 0 {
			ms := float64(e.unseen.Microseconds()) / 1000
			s.UnseenMS = &ms
		}
	}
	for _, k := range e.view.Queue[:min(mostShown, len(e.view.Queue))] {
		s.Queue = append(s.Queue, newMember(k))
	}
	return s
}

func newMember(k election.Key) member {
	id, value, ok := election.Split(k.Data)
	if !ok {
		id, value = "", k.Data
	}
	m := member{ID: id, Revision: k.Create}
	if len(value) > mostValueShown {
		value, m.Truncated = strings.ToValidUTF8(value[:mostValueShown], ""), true
	}
	m.Value, m.Base64 = encodeValue(value)
	return m
}
