//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/clock"
)

// report is what the guest tells the judge, a line of JSON each.
type report struct {
	What     string        // elected, asleep, asked or written
	Token    int64         `json:",omitempty"` // of the term
	Boottime time.Duration `json:",omitempty"` // how long it was asleep by CLOCK_BOOTTIME
	GoClock  time.Duration `json:",omitempty"` // and by Go's own clock
	Believes bool          `json:",omitempty"` // the first answer of IsSelected after that, or the last before a write
	Fenced   string        `json:",omitempty"` // what became of the write through the term
	Unfenced string        `json:",omitempty"` // and of one without a fence
	Ended    time.Duration `json:",omitempty"` // after which the term's context had ended
}

// leader is the node in the machine, with what it has to do.
type leader struct {
	node   *locked.Node
	client *clientv3.Client

	mu   sync.Mutex
	term *locked.Term
	ctx  context.Context // of the term
}

// guest competes for as long as the machine runs. The judge gives orders on standard input: "suspend", or "write".
func guest(ctx context.Context, endpoint string) error {
	l, err := locked.New(endpoint)
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: ttl})
	if err != nil {
		return err
	}
	node, err := l.Node(path, locked.NodeConfig{ID: "guest", Value: "in the machine", TTL: ttl})
	if err != nil {
		return err
	}
	g := &leader{node: node, client: client}
	go g.obey()
	go g.watchClocks()
	return node.Lead(ctx, func(ctx context.Context, term *locked.Term) error {
		g.mu.Lock()
		g.term, g.ctx = term, ctx
		g.mu.Unlock()
		tell(report{What: "elected", Token: term.Token()})
		<-ctx.Done()
		return nil
	})
}

func tell(r report) {
	line, _ := json.Marshal(r) // it has nothing that cannot be written
	fmt.Printf("\n%s\n", line)
}

func (g *leader) obey() {
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "suspend":
			if err := os.WriteFile("/sys/power/state", []byte("mem"), 0o200); err != nil {
				slog.Error("this machine cannot be suspended", "err", err)
			}
		case "write":
			r := report{What: "asked", Believes: g.node.IsSelected()}
			tell(r)
			w := g.write()
			w.What, w.Believes = "written", r.Believes
			tell(w)
		}
	}
}

// watchClocks tells of each suspend, and of what the node answered first after it.
func (g *leader) watchClocks() {
	before, at := clock.Uptime(), time.Now()
	for {
		now, wall := clock.Uptime(), time.Now()
		believes := g.node.IsSelected()
		if asleep := now - before; asleep > time.Second {
			r := g.write()
			r.What, r.Boottime, r.GoClock, r.Believes = "asleep", asleep, wall.Sub(at), believes
			tell(r)
			now, wall = clock.Uptime(), time.Now()
		}
		before, at = now, wall
		time.Sleep(time.Millisecond)
	}
}

// write tries to write as the leader that the node was last. It tells when the term's context has ended.
func (g *leader) write() (r report) {
	began := clock.Uptime()
	g.mu.Lock()
	term, ended := g.term, g.ctx
	g.mu.Unlock()
	end := make(chan time.Duration, 1)
	go func() {
		<-ended.Done()
		end <- clock.Uptime() - began
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	value := fmt.Sprint("guest ", term.Token())
	_, err := term.Txn(ctx).Then(clientv3.OpPut(fenced, value)).Commit()
	r.Token, r.Fenced = term.Token(), outcome(err)
	_, err = g.client.Put(ctx, unfenced, value)
	r.Unfenced = outcome(err)
	r.Ended = <-end
	return r
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, locked.ErrNotLeader):
		return "refused"
	}
	return err.Error()
}
