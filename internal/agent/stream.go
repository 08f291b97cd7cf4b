package agent

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// stream is an answer of Server-Sent Events. It belongs to one goroutine.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration // that a write may take
	buf      bytes.Buffer
	last     time.Time // something was written
}

// retryMS is how long a browser waits before it connects again.
const retryMS = 1000

// newStream begins the answer. Nothing else is ever sent on its connection.
func newStream(w http.ResponseWriter, r *http.Request, patience time.Duration) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("X-Accel-Buffering", "no") // for a proxy that would collect events
	s := &stream{w: w, control: http.NewResponseController(w), patience: patience}
	_ = s.control.SetReadDeadline(time.Time{}) // that of the request; if it stays, the stream ends early
	if c := connOf(r.Context()); c != nil {
		c.streaming.Store(true)
		limitSilence(c.Conn, patience)
	}
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
	s.last = time.Now()
	if err := s.control.SetWriteDeadline(s.last.Add(s.patience)); err != nil {
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

// send is add and flush.
func (s *stream) send(event string, id int64, data any) error {
	if err := s.add(event, id, data); err != nil {
		return err
	}
	return s.flush()
}
