package agent

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"
)

// registry is the candidacies that there are, the ones that are held included.
type registry struct {
	most int

	mu       sync.Mutex
	byName   map[name]*candidacy
	byKey    map[string]*candidacy
	byHolder map[holder]int
	draining bool
}

type name struct{ path, id string }

func newRegistry(most int) *registry {
	return &registry{most: most, byName: map[name]*candidacy{}, byKey: map[string]*candidacy{}, byHolder: map[holder]int{}}
}

// newSecret names a candidacy, so that only its caller can.
func newSecret() string { return strings.ToLower(rand.Text()) }

// add takes a candidacy in. Another one of the same path and id that has ended is waited for, until ctx ends.
func (r *registry) add(ctx context.Context, c *candidacy) error {
	for {
		other, err := r.tryAdd(c)
		if other == nil {
			return err
		}
		select {
		case <-other.parted:
		case <-time.After(noticePatience):
			return taken("a candidate with that id competes for that path through this agent already", 0)
		}
		select {
		case <-other.over:
			r.remove(other)
		case <-ctx.Done():
			return taken("the candidate with that id that has just lost its connection to this agent may still believe what it was told",
				max(other.held(), time.Second))
		}
	}
}

// noticePatience is for a caller who has closed his connection and comes back before that was noticed.
const noticePatience = 500 * time.Millisecond

func taken(why string, retry time.Duration) *problem {
	p := newProblem(http.StatusConflict, "taken", "%s", why)
	p.Field = "id"
	if retry > 0 {
		p = p.after(retry)
	}
	return p
}

func (r *registry) tryAdd(c *candidacy) (other *candidacy, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.byName[name{c.path, c.id}]; other != nil {
		return other, nil
	}
	switch {
	case r.draining:
		return nil, draining()
	case len(r.byName) >= r.most:
		return nil, newProblem(http.StatusServiceUnavailable, "too-many", "this agent has the %d candidacies that it allows", r.most).after(time.Second)
	}
	if share := max(1, r.most/4); c.holder != (holder{}) && r.byHolder[c.holder] >= share {
		return nil, newProblem(http.StatusTooManyRequests, "too-many",
			"your token has the %d candidacies that this agent allows for one, a quarter of all", share).after(time.Second)
	}
	r.byName[name{c.path, c.id}] = c
	r.byKey[c.key] = c
	r.byHolder[c.holder]++
	return nil, nil
}

func (r *registry) remove(c *candidacy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[name{c.path, c.id}] == c {
		delete(r.byName, name{c.path, c.id})
		if r.byHolder[c.holder]--; r.byHolder[c.holder] == 0 {
			delete(r.byHolder, c.holder)
		}
	}
	delete(r.byKey, c.key)
}

// find gives the candidacy that a caller proves to be his.
func (r *registry) find(path, key string) (*candidacy, error) {
	if key == "" {
		return nil, badField("candidacy", "", "is required: it is in the first event of the campaign")
	}
	r.mu.Lock()
	c := r.byKey[key]
	r.mu.Unlock()
	if c == nil || c.path != path {
		return nil, noCandidacy(path)
	}
	return c, nil
}

func noCandidacy(path string) *problem {
	p := newProblem(http.StatusGone, "gone", "there is no such candidacy at %s, or it has ended", path)
	p.Field = "candidacy"
	return p
}

// named gives the candidacy with that id, if there is one.
func (r *registry) named(path, id string) *candidacy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[name{path, id}]
}

// count gives how many there are, and how many of them are held.
func (r *registry) count() (all, held int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.byName {
		if c.isEnded() {
			held++
		}
	}
	return len(r.byName), held
}

// drain stops all candidacies, takes no more, and waits until they are over or ctx ends.
func (r *registry) drain(ctx context.Context) error {
	r.mu.Lock()
	r.draining = true
	var all []*candidacy
	for _, c := range r.byName {
		all = append(all, c)
	}
	r.mu.Unlock()
	var stops sync.WaitGroup
	for _, c := range all {
		stops.Go(func() { _ = c.node.Stop(ctx) }) // what it does not manage ends with the lease
	}
	stops.Wait()
	for _, c := range all {
		select {
		case <-c.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
