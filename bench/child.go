package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// child is a process of this command in another role. It ends when its input does, so none outlives a run.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	mu      sync.Mutex // one request at a time
	replies chan message
	gone    chan struct{}
}

// request is what a child is asked to do.
type request struct {
	Do       string        `json:"do"`
	System   string        `json:"system,omitempty"`
	Endpoint string        `json:"endpoint,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"`
	Path     string        `json:"path,omitempty"`
	Each     bool          `json:"each,omitempty"` // a path for each candidate, below Path
	ID       string        `json:"id,omitempty"`
	N        int           `json:"n,omitempty"`
	Clients  int           `json:"clients,omitempty"`
	Seconds  int           `json:"seconds,omitempty"`
}

// message is what a child tells: the reply to a request, or, with Event, something that happened.
type message struct {
	Event string `json:"event,omitempty"`
	ID    string `json:"id,omitempty"`
	At    int64  `json:"at,omitempty"` // nanoseconds since 1970

	Err      string             `json:"err,omitempty"`
	Endpoint string             `json:"endpoint,omitempty"`
	Figures  map[string]float64 `json:"figures,omitempty"`
	Samples  []float64          `json:"samples,omitempty"`
}

// spawn starts this program in a role. What happens there is told to happened, if that is not nil.
func spawn(role string, happened func(message)) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, role), replies: make(chan message, 1), gone: make(chan struct{})}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.read(out, happened)
	return c, nil
}

func (c *child) read(out io.Reader, happened func(message)) {
	defer close(c.gone)
	lines := json.NewDecoder(bufio.NewReaderSize(out, 1<<20))
	for {
		var m message
		if lines.Decode(&m) != nil {
			return
		}
		if m.Event == "" {
			c.replies <- m
		} else if happened != nil {
			happened(m)
		}
	}
}

var errChildGone = errors.New("the process has ended")

// ask makes a request, and waits for the reply.
func (c *child) ask(ctx context.Context, r request) (message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := json.NewEncoder(c.in).Encode(r); err != nil {
		return message{}, fmt.Errorf("%s: %w", r.Do, err)
	}
	select {
	case m := <-c.replies:
		if m.Err != "" {
			return m, fmt.Errorf("%s: %s", r.Do, m.Err)
		}
		return m, nil
	case <-c.gone:
		return message{}, fmt.Errorf("%s: %w", r.Do, errChildGone)
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
}

// kill ends the process as a crash does.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.gone
	c.cmd.Wait()
}

// serve answers requests from stdin until that ends.
func serve(answer func(request) message) error {
	in := json.NewDecoder(os.Stdin)
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			return nil // whoever started this has ended
		}
		tell(answer(r))
	}
}

var stdout sync.Mutex

// tell writes a message to whoever started this process.
func tell(m message) {
	stdout.Lock()
	defer stdout.Unlock()
	json.NewEncoder(os.Stdout).Encode(m)
}
