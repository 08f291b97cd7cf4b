package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/samcday/locked"
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

// printAll prints until the channel is closed. When nobody reads what it prints it gives up, and says so at once.
func (p *eventPrinter) printAll(events <-chan locked.Event, giveUp func()) (err error) {
	for e := range events {
		if err != nil {
			continue
		}
		if err = p.print(e); err != nil {
			giveUp()
		}
	}
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
