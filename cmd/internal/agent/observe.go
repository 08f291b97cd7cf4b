package agent

import (
	"net/http"
	"time"

	"github.com/samcday/locked"
)

// observe answers GET …/events: what happens at one election, beginning with the state as it is.
func (a *Agent) observe(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	done, err := a.viewing()
	if err != nil {
		return err
	}
	defer done()
	path := electionPath(r)
	if err := locked.CheckPath(path); err != nil {
		return err
	}
	events := a.locker.Watch(r.Context(), path)
	s := newStream(w, r, viewerPatience)
	if err := s.send("reset", 0, struct {
		Path string `json:"path"`
	}{path}); err != nil {
		return nil
	}
	tick := time.NewTicker(viewerBeat)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			err = s.send(e.Kind.String(), e.Revision, newEventData(e, nil))
		case <-tick.C:
			err = s.send("heartbeat", 0, beat{At: time.Now()})
		case <-a.ending:
			_ = s.send("end", 0, ending{"the agent is shutting down"}) // the connection ends anyway
			return nil
		case <-r.Context().Done():
			return nil
		}
		if err != nil {
			return nil
		}
	}
}
