// Package trouble tells people of what goes wrong with an election: of an etcd that cannot be reached when that begins, why,
// and what is at stake, then once a minute, and when it is over; and of any other error once a minute. What comes in may be as
// many errors as attempts were made, or one. It also tells the kinds of errors apart, for all of the command.
package trouble

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/samcday/locked"
)

// Every is how often trouble that lasts is told of.
const Every = time.Minute

// Config says how to find out about trouble, and whom to tell.
type Config struct {
	Path     string
	Probe    func(ctx context.Context) error // asks etcd something
	Diagnose func() string                   // why it does not answer; nil if that is not to be found out
	Stake    func() string                   // what is at stake until when, now; it must not wait
	Beat     time.Duration                   // after so long without an event it is asked; 0 for only after an error
	Every    time.Duration                   // 0 stands for [Every]

	// Tell is told of each event that came, but for errors that are trouble already told of; of an outage as an error that
	// is an [Outage]. Over is told when that has ended, if it was told of. Both are called by Run's goroutine alone.
	Tell func(locked.Event)
	Over func(after time.Duration)
}

// Outage is an etcd that cannot be reached.
type Outage struct {
	Cause string
	Stake string
	For   time.Duration // since it began; 0 when it is told of for the first time
}

func (o *Outage) Error() string {
	text := "etcd cannot be reached"
	if o.For > 0 {
		text += fmt.Sprintf(" for %v now", o.For.Round(time.Second))
	}
	if o.Cause != "" {
		text += ": " + o.Cause
	}
	if o.Stake != "" {
		text += "; " + o.Stake
	}
	return text
}

// Teller follows one stream of events.
type Teller struct {
	Config
	reports chan error
	answers chan answer

	heard  time.Time // something came of etcd last
	since  time.Time // the outage began; zero for none
	told   time.Time // of it; zero if it was not told of
	asking bool      // an examination is under way
	first  error     // that it began with; nil if that was none
	away   bool      // an examination has found so
	last   time.Time // an outage was told of that is over, or lasts
	others map[string]time.Time
}

// answer is what came of an examination.
type answer struct {
	reached bool
	looked  bool // for the cause
	cause   string
}

// How long an examination waits for etcd, and how often it is made while an outage lasts.
const (
	patience = 2 * time.Second // at most, and at least a tenth of that
	again    = 500 * time.Millisecond
)

// patience is short beside the time that a leader has left when nothing was heard of etcd for a beat: so its outage is told of
// before its term is over.
func (t *Teller) patience() time.Duration {
	if t.Beat == 0 {
		return patience
	}
	return min(max(t.Beat/5, patience/10), patience)
}

// New makes a teller, which does nothing before [Teller.Run].
func New(c Config) *Teller {
	if c.Every == 0 {
		c.Every = Every
	}
	return &Teller{Config: c, reports: make(chan error, 16), answers: make(chan answer, 1), others: map[string]time.Time{}}
}

// Report takes an error that did not come as an event. It never waits.
func (t *Teller) Report(err error) {
	select {
	case t.reports <- err:
	default:
	}
}

// Run follows the events until their channel is closed.
func (t *Teller) Run(ctx context.Context, events <-chan locked.Event) {
	t.heard = time.Now()
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			t.take(ctx, e)
		case err := <-t.reports:
			t.take(ctx, locked.Event{Kind: locked.EventError, Path: t.Path, Cause: err, At: time.Now()})
		case a := <-t.answers:
			if t.asking = false; ctx.Err() == nil {
				t.examined(a)
			}
		case <-tick.C:
			switch {
			case !t.since.IsZero():
				t.examine(ctx)
			case t.Beat > 0 && time.Since(t.heard) > t.Beat:
				t.suspect(ctx, nil)
			}
		}
	}
}

func (t *Teller) take(ctx context.Context, e locked.Event) {
	switch {
	case e.Kind == locked.EventError && Unreached(e.Cause):
		t.suspect(ctx, e.Cause)
	case e.Kind == locked.EventError:
		t.other(e)
	case e.Kind == locked.EventDeselect && errors.Is(e.Cause, locked.ErrExpired):
		t.Tell(e)
		t.suspect(ctx, nil)
	default:
		if e.Kind != locked.EventDeselect { // all else comes of what etcd has said
			t.reached()
		}
		t.Tell(e)
	}
}

func (t *Teller) suspect(ctx context.Context, err error) {
	if t.since.IsZero() {
		t.since, t.first = time.Now(), err
		t.examine(ctx)
	}
}

// examine asks etcd whether it is there, and looks why not, beside all else. One is made at a time.
func (t *Teller) examine(ctx context.Context) {
	if t.asking {
		return
	}
	t.asking = true
	a := answer{looked: time.Since(t.last) >= t.Every} // else it will not be told anyway
	go func() {
		limited, cancel := context.WithTimeout(ctx, t.patience())
		defer cancel()
		cause := make(chan string, 1)
		if a.looked && t.Diagnose != nil {
			go func() { cause <- t.Diagnose() }()
		} else {
			cause <- ""
		}
		err := t.Probe(limited)
		if a.reached = answered(err); !a.reached {
			a.cause = <-cause
		}
		t.answers <- a // there is room: one examination is made at a time
	}()
}

func (t *Teller) examined(a answer) {
	now := time.Now()
	switch {
	case t.since.IsZero():
	case a.reached:
		if err := t.first; !t.away && err != nil { // it answers, and yet something was not done in time
			t.other(locked.Event{Kind: locked.EventError, Path: t.Path, Cause: err, At: now})
		}
		t.reached()
	case !a.looked: // it was told of, or another one was that is over
		t.away = true
	default:
		t.away = true
		o := &Outage{Cause: a.cause, Stake: t.Stake()}
		if !t.told.IsZero() {
			o.For = now.Sub(t.since)
		}
		t.told, t.last = now, now
		t.Tell(locked.Event{Kind: locked.EventError, Path: t.Path, Cause: o, At: now})
	}
}

// reached ends an outage.
func (t *Teller) reached() {
	t.heard = time.Now()
	since, told := t.since, !t.told.IsZero()
	t.since, t.told, t.first, t.away = time.Time{}, time.Time{}, nil, false
	if told {
		t.Over(time.Since(since))
	}
}

// other tells of an error that is no outage, if that was not done within the last minute. Errors that come of an outage are
// part of it.
func (t *Teller) other(e locked.Event) {
	now, text := time.Now(), e.Cause.Error()
	if last, known := t.others[text]; known && now.Sub(last) < t.Every {
		return
	}
	for other, last := range t.others {
		if now.Sub(last) >= t.Every {
			delete(t.others, other)
		}
	}
	t.others[text] = now
	t.Tell(e)
}
