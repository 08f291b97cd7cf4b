package agent

import (
	"net/http"
	"time"
)

// Pace of the stream of everything.
const (
	settle         = 50 * time.Millisecond // changes that come closer than that are told together
	viewerBeat     = 2 * time.Second
	viewerPatience = 10 * time.Second // that a write may take, or an acknowledgement
)

// everything answers GET /v1/events: all elections below a prefix, and the connection to etcd, as long as the caller
// listens.
//
//	reset      what was told before does not count: everything follows
//	election   an election as it is, told anew whenever it has changed
//	synced     every election has been told of
//	etcd       whether etcd can be reached; it comes also as a heartbeat
func (a *Agent) everything(w http.ResponseWriter, r *http.Request) error {
	prefix, err := a.prefix(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	done, err := a.viewing()
	if err != nil {
		return err
	}
	defer done()
	v := a.cache.subscribe(prefix)
	defer a.cache.unsubscribe(v)
	s := newStream(w, r, viewerPatience)
	tick := time.NewTicker(viewerBeat)
	defer tick.Stop()
	synced, due := false, false
	for {
		b := a.cache.next(v)
		if b.reset {
			_ = s.add("reset", b.revision, struct {
				Revision int64 `json:"revision"`
			}{b.revision}) // a number cannot fail
		}
		for _, data := range b.elections {
			s.addRaw("election", b.revision, data)
		}
		if b.last && !synced {
			synced = true
			_ = s.add("synced", b.revision, struct {
				Revision int64 `json:"revision"`
			}{b.revision})
		}
		if b.beat || due || s.buf.Len() > 0 {
			_ = s.add("etcd", b.revision, struct {
				At time.Time `json:"at"`
				etcdState
			}{time.Now(), b.etcd})
		}
		due = false
		if s.flush() != nil {
			return nil
		}
		pause := time.After(settle)
		if !b.last {
			pause = time.After(0)
		}
		select {
		case <-pause:
		case <-r.Context().Done():
			return nil
		}
		select {
		case <-v.woken:
		case <-tick.C:
			due = true
		case <-r.Context().Done():
			return nil
		case <-a.ending:
			_ = s.send("end", 0, ending{"the agent is shutting down"}) // the connection ends anyway
			return nil
		}
	}
}
