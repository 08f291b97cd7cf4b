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
	"github.com/samcday/locked/test/sim"
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
	sim.Run(t, func(s *sim.Sim) {
		log := new(toldLines)
		client, link := s.LockedClient("c", func(*clientv3.Config) {})
		l, err := locked.NewFromClient(client, locked.WithLogger(slog.New(log)))
		s.NoError(err)
		n, err := l.Node("/p", locked.NodeConfig{ID: "n", Value: "v"})
		s.NoError(err)
		events, observed := n.Events(s.T.Context()), l.Watch(s.T.Context(), "/p")
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
		s.NoError(n.Start(s.T.Context()))
		time.Sleep(time.Minute)
		failures(events)
		failures(observed)
		log.told = nil

		link.Cut()
		var own, others []string
		for range 80 {
			time.Sleep(time.Second)
			own, others = append(own, failures(events)...), append(others, failures(observed)...)
		}
		link.Heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(log.told) < 3 || len(log.told) > 5 {
			s.T.Errorf("%d lines: %q", len(log.told), log.told)
		}
		if again := len(own) - len(slices.Compact(slices.Sorted(slices.Values(own)))); len(own) < 1 || again > 0 {
			s.T.Errorf("the node's events tell of failures %d times, %d times what they have told: %q", len(own), again, own)
		}
		if len(others) > 2 {
			s.T.Errorf("an observer's events tell of failures: %q", others)
		}
		if !n.IsSelected() {
			s.T.Error("it does not lead again")
		}
		s.NoError(l.Close(context.Background()))
	})
}
