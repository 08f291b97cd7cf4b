package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/samcday/locked/bench/systems"
)

// worker is a process that uses a system as a program would, so that it can be killed, and its memory be told from that
// of others.
type worker struct {
	clients []systems.Client
	mu      sync.Mutex
	led     map[string]systems.Candidate // by id
}

func newWorkerCommand() *cobra.Command {
	return &cobra.Command{Use: "worker", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		w := &worker{led: map[string]systems.Candidate{}}
		return serve(func(r request) message {
			m, err := w.do(cmd.Context(), r)
			if err != nil {
				m.Err = err.Error()
			}
			return m
		})
	}}
}

func (w *worker) do(ctx context.Context, r request) (m message, err error) {
	switch r.Do {
	case "dial":
		return m, w.dial(ctx, r)
	case "campaign":
		return m, w.campaign(ctx, r)
	case "resign":
		w.mu.Lock()
		c := w.led[r.ID]
		delete(w.led, r.ID)
		w.mu.Unlock()
		if c == nil {
			return m, fmt.Errorf("%s does not lead", r.ID)
		}
		return m, c.Resign(ctx)
	case "observe":
		return m, w.observe(ctx, r)
	case "churn":
		return w.churn(ctx, r)
	case "figures":
		return message{Figures: processFigures()}, nil
	case "close":
		w.mu.Lock()
		w.led = nil
		w.mu.Unlock()
		for _, c := range w.clients {
			err = c.Close()
		}
		w.clients = nil
		return m, err
	}
	return m, fmt.Errorf("a worker cannot do that")
}

func (w *worker) dial(ctx context.Context, r request) error {
	for range max(1, r.Clients) {
		c, err := systems.Find(r.System).Dial(ctx, r.Endpoint, r.TTL)
		if err != nil {
			return err
		}
		w.clients = append(w.clients, c)
	}
	return nil
}

// campaign makes candidates compete, each blocked in a goroutine until it is elected, which is told as an event.
func (w *worker) campaign(ctx context.Context, r request) error {
	for i := range r.N {
		path, id := r.Path, r.ID+strconv.Itoa(i)
		if r.Each {
			path += "/" + strconv.Itoa(i)
		}
		c, err := w.clients[i%len(w.clients)].Candidate(path, id)
		if err != nil {
			return err
		}
		go w.elect(ctx, c, id)
	}
	return nil
}

func (w *worker) elect(ctx context.Context, c systems.Candidate, id string) {
	if err := c.Campaign(ctx); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.led != nil { // otherwise the worker is being closed
			tell(message{Event: "failed", ID: id, Err: err.Error()})
		}
		return
	}
	at := time.Now().UnixNano()
	w.mu.Lock()
	if w.led != nil {
		w.led[id] = c
	}
	w.mu.Unlock()
	tell(message{Event: "elected", ID: id, At: at})
}

// observe starts observers, and tells when all of them know of a leader.
func (w *worker) observe(ctx context.Context, r request) error {
	var mu sync.Mutex
	told := map[string]int{}
	for i := range r.N {
		err := w.clients[i%len(w.clients)].Observe(ctx, r.Path, func(id string) {
			mu.Lock()
			defer mu.Unlock()
			if told[id]++; told[id] == r.N {
				tell(message{Event: "told", ID: id, At: time.Now().UnixNano()})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// churn starts and stops candidates, each at a path of its own, so many a second, for so many seconds. No more than
// a second's worth of them is under way: if they cannot be started as they are due, they are fewer.
func (w *worker) churn(ctx context.Context, r request) (message, error) {
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		samples []float64
		failed  atomic.Pointer[error]
		under   = make(chan struct{}, r.N)
		begun   = time.Now()
	)
	for i := 0; i < r.N*r.Seconds && time.Since(begun) < time.Duration(r.Seconds)*time.Second; i++ {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(r.N))))
		if failed.Load() != nil {
			break
		}
		under <- struct{}{}
		all.Go(func() {
			defer func() { <-under }()
			took, err := w.once(ctx, "/churn/"+strconv.Itoa(i))
			if err != nil {
				failed.Store(&err)
				return
			}
			mu.Lock()
			samples = append(samples, took)
			mu.Unlock()
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return message{}, *err
	}
	return message{Samples: samples, Figures: map[string]float64{"rate": float64(len(samples)) / time.Since(begun).Seconds()}}, nil
}

func (w *worker) once(ctx context.Context, path string) (float64, error) {
	c, err := w.clients[0].Candidate(path, "churn")
	if err != nil {
		return 0, err
	}
	took, err := timed(func() error { return c.Campaign(ctx) })
	if err != nil {
		return 0, err
	}
	return took, c.Resign(ctx)
}
