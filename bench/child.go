package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/samcday/locked/internal/server/child"
)

// process is one of this command in another role. It ends when its input does, so none outlives a run.
type process struct {
	*child.Process
	mu      sync.Mutex // one request at a time
	replies chan message
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
func spawn(role string, happened func(message)) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &process{replies: make(chan message, 1)}
	cmd := exec.Command(self, role)
	cmd.Stderr = os.Stderr
	c.Process, err = child.Start(cmd, func(line string) {
		var m message
		switch {
		case json.Unmarshal([]byte(line), &m) != nil:
		case m.Event == "":
			c.replies <- m
		case happened != nil:
			happened(m)
		}
	})
	return c, err
}

var errChildGone = errors.New("the process has ended")

// ask makes a request, and waits for the reply.
func (c *process) ask(ctx context.Context, r request) (message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := json.Marshal(r)
	if err == nil {
		err = c.Tell(string(line))
	}
	if err != nil {
		return message{}, fmt.Errorf("%s: %w", r.Do, err)
	}
	select {
	case m := <-c.replies:
		if m.Err != "" {
			return m, fmt.Errorf("%s: %s", r.Do, m.Err)
		}
		return m, nil
	case <-c.Done():
		return message{}, fmt.Errorf("%s: %w", r.Do, errChildGone)
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
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
