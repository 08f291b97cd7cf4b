//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// lifetime is what a recorder tells of itself: readings of the boot clock, which is the same for all processes.
type lifetime struct {
	PID        int
	Token      int64 // of the term that it belongs to
	Begin, End time.Duration
}

// recorder is a program for "locked run" that writes down for how long it has lived: record DIR [stubborn]. A stubborn one
// ignores TERM, and has a grandchild in a session of its own that does so and writes down its lifetime too.
func recorder() {
	dir := os.Args[1]
	if stubborn := len(os.Args) > 2; stubborn {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		if os.Args[2] == "stubborn" {
			child := exec.Command(os.Args[0], dir, "grandchild")
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := child.Start(); err != nil {
				panic(err)
			}
		}
	}
	token, _ := strconv.ParseInt(os.Getenv("LOCKED_TOKEN"), 10, 64)
	l := lifetime{PID: os.Getpid(), Token: token, Begin: clock.Uptime()}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d-%d", token, l.PID)))
	if err != nil {
		panic(err)
	}
	for {
		l.End = clock.Uptime()
		line, _ := json.Marshal(l)
		if _, err := f.WriteAt(append(line, '\n'), 0); err != nil {
			panic(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// lifetimes reads what recorders have written, in the order in which they began.
func lifetimes(dir string) ([]lifetime, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	var all []lifetime
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		var l lifetime
		if json.NewDecoder(f).Decode(&l) == nil { // one that was killed before it could write has not done anything
			all = append(all, l)
		}
		_ = f.Close()
	}
	slices.SortFunc(all, func(a, b lifetime) int { return int(a.Begin - b.Begin) })
	return all, nil
}

// overlaps finds lifetimes of different terms that were at the same time.
func overlaps(all []lifetime) (found []string) {
	var last lifetime // that ends last so far
	for _, l := range all {
		if l.Begin <= last.End && l.Token != last.Token {
			found = append(found, fmt.Sprintf("%d of token %d began %v before %d of token %d ended",
				l.PID, l.Token, last.End-l.Begin, last.PID, last.Token))
		}
		if l.End > last.End {
			last = l
		}
	}
	return found
}
