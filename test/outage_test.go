package test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

// toldLines is a log that remembers what is told at the level of information and above.
type toldLines struct {
	mu   sync.Mutex
	told []string
}

func (l *toldLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *toldLines) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *toldLines) WithGroup(string) slog.Handler                    { return l }

func (l *toldLines) Handle(_ context.Context, r slog.Record) error {
	if !l.Enabled(context.Background(), r.Level) { // the queue before it passes on everything
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += fmt.Sprint(" ", a); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, line)
	return nil
}

// An outage of 80 s is told of in five lines of the log at most, and by one error event for each call that has its own to tell.
func TestOutageIsToldOnce(t *testing.T) {
	simulate(t, func(s *sim) {
		log := new(toldLines)
		client, link := s.ourClient("c", func(*clientv3.Config) {})
		l, err := locked.NewFromClient(client, locked.WithLogger(slog.New(log)))
		s.noError(err)
		n, err := l.Node("/p", locked.NodeConfig{ID: "n", Value: "v"})
		s.noError(err)
		events, observed := n.Events(s.t.Context()), l.Watch(s.t.Context(), "/p")
		failures := func(c <-chan locked.Event) (told []string) {
			for {
				synctest.Wait()
				select {
				case e := <-c:
					if e.Kind == locked.EventError {
						told = append(told, e.Cause.Error())
					}
				default:
					return told
				}
			}
		}
		s.noError(n.Start(s.t.Context()))
		time.Sleep(time.Minute)
		failures(events)
		failures(observed)
		log.told = nil

		link.cut()
		var own, others []string
		for range 80 {
			time.Sleep(time.Second)
			own, others = append(own, failures(events)...), append(others, failures(observed)...)
		}
		link.heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(log.told) < 3 || len(log.told) > 5 {
			s.t.Errorf("%d lines: %q", len(log.told), log.told)
		}
		if again := len(own) - len(slices.Compact(slices.Sorted(slices.Values(own)))); len(own) < 1 || again > 0 {
			s.t.Errorf("the node's events tell of failures %d times, %d times what they have told: %q", len(own), again, own)
		}
		if len(others) > 2 {
			s.t.Errorf("an observer's events tell of failures: %q", others)
		}
		if !n.IsSelected() {
			s.t.Error("it does not lead again")
		}
		s.noError(l.Close(context.Background()))
	})
}
