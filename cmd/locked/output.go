package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/trouble"
)

// format is how a command prints: for people or for programs.
type format string

const (
	text     format = "text"
	jsonForm format = "json"
)

func (f *format) String() string { return string(*f) }

// Type is what the flag's argument is called in help texts.
func (f *format) Type() string { return "text|json" }

// Set takes the flag's argument.
func (f *format) Set(s string) error {
	if s != string(text) && s != string(jsonForm) {
		return errors.New("must be text or json")
	}
	*f = format(s)
	return nil
}

func (f *format) addTo(flags *pflag.FlagSet) {
	*f = text
	flags.VarP(f, "output", "o", "how to print")
}

// printJSON prints a value on one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// eventPrinter prints events, one line each.
type eventPrinter struct {
	w      io.Writer
	format format
	all    bool // also pings and refreshes
	paths  bool // which may be several
}

func (p *eventPrinter) print(e locked.Event) error {
	if !p.all && (e.Kind == locked.EventPing || e.Kind == locked.EventRefresh) {
		return nil
	}
	if p.format == jsonForm {
		return printJSON(p.w, e)
	}
	path := ""
	if p.paths {
		path = e.Path + ": "
	}
	_, err := fmt.Fprintf(p.w, "%s  %-8s  %s%s\n", e.At.Local().Format("2006-01-02 15:04:05.000"), e.Kind, path, sentence(e))
	return err
}

// follow prints until the channel is closed, and of trouble what is to be told. When nobody reads what it prints it gives up,
// and says so at once.
func (p *eventPrinter) follow(ctx context.Context, events <-chan locked.Event, about trouble.Config, giveUp func()) (err error) {
	printed := func(e error) {
		if e != nil && err == nil {
			err = e
			giveUp()
		}
	}
	about.Tell = func(e locked.Event) {
		if err == nil {
			printed(p.print(e))
		}
	}
	about.Over = func(after time.Duration) {
		if err == nil {
			printed(p.reached(about.Path, after))
		}
	}
	trouble.New(about).Run(ctx, events)
	return err
}

// reached tells that etcd answers again.
func (p *eventPrinter) reached(path string, after time.Duration) error {
	now, text := time.Now(), fmt.Sprintf("etcd answers again, after %v", after.Round(time.Second))
	if p.format == jsonForm {
		return printJSON(p.w, struct {
			Kind  string    `json:"kind"`
			Path  string    `json:"path"`
			Cause string    `json:"cause"`
			At    time.Time `json:"at"`
		}{"reached", path, text, now})
	}
	_, err := fmt.Fprintf(p.w, "%s  %-8s  %s\n", now.Local().Format("2006-01-02 15:04:05.000"), "reached", text)
	return err
}

// sentence says in words what happened.
func sentence(e locked.Event) string {
	switch e.Kind {
	case locked.EventChange:
		return fmt.Sprintf("%s is elected: value %q, token %d", e.ID, e.Value, e.Token)
	case locked.EventVacant:
		return "nobody is elected"
	case locked.EventSelect:
		return fmt.Sprintf("%s leads from now on: token %d", e.ID, e.Token)
	case locked.EventDeselect:
		return fmt.Sprintf("%s does not lead any more: %s", e.ID, cause(e))
	case locked.EventRefresh:
		return fmt.Sprintf("%s has renewed its lease: token %d", e.ID, e.Token)
	case locked.EventPing:
		return fmt.Sprintf("%s is alive: token %d", e.ID, e.Token)
	}
	return cause(e)
}

func cause(e locked.Event) string {
	if e.Cause == nil {
		return "of unknown cause"
	}
	return strings.TrimPrefix(e.Cause.Error(), "locked: ")
}
