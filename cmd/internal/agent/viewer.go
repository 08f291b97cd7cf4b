package agent

import (
	"context"
	"strings"
	"time"
)

// viewer is one who looks at a mirror. But for woken it belongs to the mirror's lock.
type viewer struct {
	prefix string
	dirty  map[string]struct{} // elections to tell of
	begun  bool                // everything was marked
	beat   bool                // the connection to etcd has changed
	woken  chan struct{}
}

func (v *viewer) wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// look adds a viewer of the elections whose path has the prefix, and makes the mirror run.
func (m *mirror) look(prefix string) *viewer {
	v := &viewer{prefix: prefix, dirty: map[string]struct{}{}, woken: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.viewers[v] = struct{}{}
	v.wake()
	if m.idle != nil {
		m.idle.Stop()
		m.idle = nil
	}
	if m.stop == nil && !m.closed {
		ctx, stop := context.WithCancel(context.Background())
		m.stop = stop
		m.synced = false
		m.running.Go(func() { m.run(ctx) })
	}
	return v
}

// unlook takes a viewer away.
func (m *mirror) unlook(v *viewer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.viewers, v)
	if len(m.viewers) == 0 && m.idle == nil {
		m.idle = time.AfterFunc(lingering, m.rest)
	}
}

// rest ends the watch of a mirror that nobody looks at.
func (m *mirror) rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.viewers) > 0 || m.stop == nil {
		return
	}
	m.stop()
	m.stop, m.idle, m.sight.last = nil, nil, 0
	clear(m.elections)
}

// close ends everything.
func (m *mirror) close() {
	m.mu.Lock()
	m.closed = true
	if m.idle != nil {
		m.idle.Stop()
	}
	if m.stop != nil {
		m.stop()
	}
	m.mu.Unlock()
	m.running.Wait()
}

// batch is what a viewer is told next.
type batch struct {
	reset     bool // everything follows
	last      bool // everything was told
	elections [][]byte
	revision  int64
	etcd      etcdState
	beat      bool
}

// batchSize bounds what is taken under the lock at a time.
const batchSize = 256

// next takes what the viewer is to be told.
func (m *mirror) next(v *viewer) batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := batch{revision: m.etcd.Revision, etcd: m.etcd, beat: v.beat}
	v.beat = false
	if !m.synced {
		return b
	}
	if !v.begun {
		v.begun, b.reset = true, true
		m.markAll(v)
	}
	for path := range v.dirty {
		if len(b.elections) == batchSize {
			v.wake() // there is more
			return b
		}
		b.elections = append(b.elections, m.render(path))
		delete(v.dirty, path)
	}
	b.last = true
	return b
}

func (m *mirror) markAll(v *viewer) {
	for path, e := range m.elections {
		if len(e.view.Queue) > 0 || e.view.Term.Exists() {
			if strings.HasPrefix(path, v.prefix) {
				v.dirty[path] = struct{}{}
			}
		}
	}
}
