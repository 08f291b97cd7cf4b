package agent

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/clock"
)

// opening is the first event of a campaign.
type opening struct {
	Candidacy   string `json:"candidacy"` // a secret: who knows it may act for the candidate
	Path        string `json:"path"`
	ID          string `json:"id"`
	TTLMS       int64  `json:"ttl_ms"`
	GraceMS     int64  `json:"grace_ms"`
	HeartbeatMS int64  `json:"heartbeat_ms"` // something comes at least this often
	OnClose     string `json:"on_close"`     // what a closed connection means: release or hold
}

// standing is how a candidate stands. It is part of everything that a campaigner is told.
type standing struct {
	Leads     bool  `json:"leads"`
	GoodForMS int64 `json:"good_for_ms"` // for which the caller may believe to lead
	UntilMS   int64 `json:"good_until_uptime_ms,omitempty"`
}

// eventData is an event of the library, as it is told over HTTP.
type eventData struct {
	Kind     locked.Kind `json:"kind"`
	Path     string      `json:"path"`
	ID       string      `json:"id,omitempty"`
	Value    *string     `json:"value,omitempty"`
	Base64   string      `json:"value_base64,omitempty"`
	Token    int64       `json:"token,omitempty"`
	Revision int64       `json:"revision,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Cause    string      `json:"cause,omitempty"`
	At       time.Time   `json:"at"`
	*standing
}

// newEventData leaves the value out of what comes all the time.
func newEventData(e locked.Event, s *standing) eventData {
	d := eventData{Kind: e.Kind, Path: e.Path, ID: e.ID, Token: e.Token, Revision: e.Revision, At: e.At, standing: s}
	if e.ID != "" && (e.Kind == locked.EventChange || e.Kind == locked.EventSelect || e.Kind == locked.EventDeselect) {
		d.Value, d.Base64 = encodeValue(e.Value)
	}
	if e.Cause != nil {
		d.Cause, d.Reason = e.Cause.Error(), locked.CauseName(e.Cause)
	}
	return d
}

// encodeValue gives a value as it is, or as base64 if JSON cannot carry it.
func encodeValue(v string) (plain *string, encoded string) {
	if utf8.ValidString(v) {
		return &v, ""
	}
	return nil, base64.StdEncoding.EncodeToString([]byte(v))
}

// What a connection that its peer closes means.
const (
	onCloseRelease = "release" // the caller has ended: hand over at once
	onCloseHold    = "hold"    // the caller may go on believing what it was told
)

// campaign answers POST …/campaign: the caller is a candidate as long as the connection is open.
func (a *Agent) campaign(w http.ResponseWriter, r *http.Request) error {
	p, err := readParams(w, r, "id", "value", "value_base64", "ttl", "grace", "on_close")
	if err != nil {
		return err
	}
	onClose, err := a.onClose(r, p["on_close"])
	if err != nil {
		return err
	}
	c, err := a.enter(r, p)
	if err != nil {
		return err
	}
	defer a.part(r, c, onClose)
	listening, quiet := context.WithCancel(context.Background())
	defer quiet()
	events := c.node.Events(listening)
	go func() {
		c.run()
		a.registry.remove(c)
	}()
	first, err := c.first(r.Context(), events, a.ending)
	if err != nil {
		return err
	}
	s := newStream(w, r, c.heartbeat()*2)
	err = s.add("candidacy", 0, opening{c.key, c.path, c.id, c.ttl.Milliseconds(), c.grace.Milliseconds(), c.heartbeat().Milliseconds(), onClose})
	if err == nil {
		err = c.addEvent(s, first)
	}
	if err == nil && s.flush() == nil {
		c.tellAll(r.Context(), s, events, quiet, a.ending)
	}
	return nil
}

// enter registers a candidacy that the request asks for.
func (a *Agent) enter(r *http.Request, p params) (*candidacy, error) {
	cfg := locked.NodeConfig{ID: p["id"]}
	var err error
	if _, given := p["id"]; given && cfg.ID == "" {
		return nil, badField("id", "", "must not be empty: leave it out for a random one")
	}
	if cfg.Value, err = p.value(); err != nil {
		return nil, err
	}
	if cfg.TTL, err = p.duration("ttl"); err != nil {
		return nil, err
	}
	if cfg.Grace, err = p.duration("grace"); err != nil {
		return nil, err
	}
	c, err := newCandidacy(a.locker, electionPath(r), cfg)
	if err != nil {
		return nil, err
	}
	c.holder = accessOf(r.Context()).holder
	ctx, cancel := context.WithTimeout(r.Context(), reentryPatience)
	defer cancel()
	if err := a.registry.add(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// reentryPatience is how long a campaign waits for an earlier one of the same id that has ended but is still held.
const reentryPatience = 2 * time.Second

// onClose is what the end of the connection means. Only a peer on this machine, with nobody in between, ends with it.
func (a *Agent) onClose(r *http.Request, asked string) (string, error) {
	direct := onCloseHold
	if isDirect(r) {
		direct = onCloseRelease
	}
	switch asked {
	case "":
		return direct, nil
	case onCloseHold:
		return onCloseHold, nil
	case onCloseRelease:
		if direct == onCloseRelease {
			return onCloseRelease, nil
		}
		return "", badField("on_close", asked, "is for connections from this machine, without a proxy: only there does the end of one "+
			"prove the end of the process")
	}
	return "", badField("on_close", asked, "must be release or hold")
}

// isDirect reports whether the caller is on this machine, and nobody is seen to stand in between.
func isDirect(r *http.Request) bool {
	c := connOf(r.Context())
	return c != nil && c.local && !forwarded(r)
}

// forwarded reports whether the request has passed a proxy that says so: by a header, or, as nginx does that was not told
// otherwise, by a version of HTTP that callers do not speak any more.
func forwarded(r *http.Request) bool {
	for h := range r.Header {
		if h == "Forwarded" || h == "Via" || h == "X-Real-Ip" || strings.HasPrefix(h, "X-Forwarded-") {
			return true
		}
	}
	return !r.ProtoAtLeast(1, 1)
}

// part ends a candidacy whose connection has ended.
func (a *Agent) part(r *http.Request, c *candidacy, onClose string) {
	if conn := connOf(r.Context()); onClose == onCloseRelease && (conn.closed.Load() || r.Context().Err() != nil && conn.endSeen()) {
		c.leave()
		return
	}
	go c.hold()
}

// heartbeat is how often a campaigner hears something at least.
func (c *candidacy) heartbeat() time.Duration {
	return min(max(c.ttl/4, 250*time.Millisecond), 15*time.Second)
}

// first waits for the first event, or for the reason why there is none.
func (c *candidacy) first(ctx context.Context, events <-chan locked.Event, closing <-chan struct{}) (locked.Event, error) {
	select {
	case e, ok := <-events:
		if ok {
			return e, nil
		}
		return locked.Event{}, draining()
	case <-c.over:
		return locked.Event{}, c.err
	case <-closing:
		return locked.Event{}, draining()
	case <-ctx.Done():
		return locked.Event{}, ctx.Err()
	}
}

// tellAll tells the caller what happens until the connection or the candidacy ends, or the agent waits no longer for that.
func (c *candidacy) tellAll(ctx context.Context, s *stream, events <-chan locked.Event, quiet func(), closing <-chan struct{}) {
	tick := time.NewTimer(c.heartbeat())
	defer tick.Stop()
	over := c.over
	for {
		var err error
		select {
		case e, ok := <-events:
			if ok {
				ok, err = c.tellEvents(s, e, events)
			}
			if !ok {
				_ = s.send("end", 0, ending{c.ending()}) // the connection ends anyway
				return
			}
		case <-tick.C:
			err = c.tellBeat(s)
		case <-over:
			over = nil
			quiet() // what is left of the events follows, and then the channel's end
			continue
		case <-closing:
			closing = nil
			quiet()
			continue
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		tick.Reset(c.heartbeat())
	}
}

// tellEvents tells of an event and those that are there already, in one piece. Not ok says that they have ended.
func (c *candidacy) tellEvents(s *stream, e locked.Event, events <-chan locked.Event) (ok bool, err error) {
	if s.stalled() {
		return true, errStalled
	}
	for {
		if err := c.addEvent(s, e); err != nil {
			return true, err
		}
		select {
		case e, ok = <-events:
			if !ok {
				return false, s.flush()
			}
		default:
			return true, s.flush()
		}
	}
}

// beat says that there is nothing to say.
type beat struct {
	At time.Time `json:"at"`
	*standing
}

func (c *candidacy) tellBeat(s *stream) error {
	if s.stalled() {
		return errStalled
	}
	return s.send("heartbeat", 0, beat{time.Now(), c.standing(s.direct)})
}

// ending is the last event.
type ending struct {
	Cause string `json:"cause"`
}

// ending says why the candidacy is over.
func (c *candidacy) ending() string {
	select {
	case <-c.over:
		switch {
		case c.ctx.Err() != nil:
			return "the campaign was left"
		case c.err != nil:
			return c.err.Error()
		}
	default:
	}
	return "the agent is shutting down"
}

// addEvent prepares an event. What it promises counts from now.
func (c *candidacy) addEvent(s *stream, e locked.Event) error {
	switch e.Kind {
	case locked.EventSelect:
		c.tell(e.Token)
	case locked.EventDeselect:
		c.tell(0)
	}
	return s.add(e.Kind.String(), e.Revision, newEventData(e, c.standing(s.direct)))
}

// standing is how the candidate stands. Who is not here has another clock.
func (c *candidacy) standing(here bool) *standing {
	good, until := c.promise()
	s := &standing{Leads: good > 0, GoodForMS: good.Milliseconds()}
	if clock.Shared && here && good > 0 {
		s.UntilMS = until.Milliseconds()
	}
	return s
}
