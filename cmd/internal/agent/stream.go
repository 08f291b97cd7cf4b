package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// stream is an answer of Server-Sent Events. It belongs to one goroutine.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration // that a write may take
	conn     *conn
	direct   bool // the caller is on this machine
	buf      bytes.Buffer

	taken  int64     // bytes that the peer had read when it last was seen to read
	alive  time.Time // then
	looked time.Time // whether it does
}

// errStalled says that the peer is there, but does not read.
var errStalled = errors.New("the peer does not read what it is sent")

// retryMS is how long a browser waits before it connects again.
const retryMS = 1000

// newStream begins the answer. Nothing else is ever sent on its connection.
func newStream(w http.ResponseWriter, r *http.Request, patience time.Duration) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("X-Accel-Buffering", "no") // for a proxy that would collect events
	s := &stream{w: w, control: http.NewResponseController(w), patience: patience, conn: connOf(r.Context()), direct: isDirect(r), alive: time.Now()}
	_ = s.control.SetReadDeadline(time.Time{}) // that of the request; if it stays, the stream ends early
	s.conn.streaming.Store(true)
	limitSilence(s.conn.Conn, patience)
	s.buf.WriteString("retry: " + strconv.Itoa(retryMS) + "\n\n")
	return s
}

// add prepares an event; an id of 0 is none. JSON has no line breaks, so the data is one line.
func (s *stream) add(event string, id int64, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	s.addRaw(event, id, b)
	return nil
}

func (s *stream) addRaw(event string, id int64, data []byte) {
	s.buf.WriteString("event: ")
	s.buf.WriteString(event)
	if id != 0 {
		s.buf.WriteString("\nid: ")
		s.buf.Write(strconv.AppendInt(s.buf.AvailableBuffer(), id, 10))
	}
	s.buf.WriteString("\ndata: ")
	s.buf.Write(data)
	s.buf.WriteString("\n\n")
}

// flush sends what was prepared, within the stream's patience.
func (s *stream) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 16<<10 { // after a large value
		s.buf = bytes.Buffer{}
	}
	if err != nil {
		return err
	}
	return s.control.Flush()
}

// stalled reports whether the peer has read nothing for as long as the stream's patience, although there was something to
// read: its process is stopped, or hangs. A peer elsewhere cannot be looked at.
func (s *stream) stalled() bool {
	if !s.conn.local || time.Since(s.looked) < s.patience/4 {
		return false
	}
	s.looked = time.Now()
	unread, known := s.conn.unread()
	taken := s.conn.written.Load() - int64(unread)
	if !known || unread == 0 || taken > s.taken {
		s.taken, s.alive = taken, time.Now()
		return false
	}
	return time.Since(s.alive) >= s.patience
}

// send is add and flush.
func (s *stream) send(event string, id int64, data any) error {
	if err := s.add(event, id, data); err != nil {
		return err
	}
	return s.flush()
}
