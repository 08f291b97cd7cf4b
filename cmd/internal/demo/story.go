package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// story prints what happens: a line each, with its time since the start, and the time since what caused it.
type story struct {
	w       io.Writer
	failed  func(error)
	start   time.Time
	cause   time.Time
	live    bool // somebody reads along: give him time
	colours bool
	acts    int
	told    bool // to the end
}

var errUnread = errors.New("nobody reads")

func newStory(w io.Writer, failed func(error)) *story {
	live := isTerminal(w)
	colours := live && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && runtime.GOOS != "windows"
	return &story{w: w, failed: failed, start: time.Now(), live: live, colours: colours}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (s *story) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil {
		s.failed(fmt.Errorf("%w: %w", errUnread, err))
	}
}

func (s *story) paint(code, text string) string {
	if !s.colours || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// opening says what is about to be seen.
func (s *story) opening(endpoint string) {
	s.printf("%s\n", s.paint("1", "locked demo: three processes want one job, and etcd gives it to one of them"))
	s.say("The candidates ada, bob and cleo are processes of their own. An etcd inside this one")
	s.say("serves at %s. Whoever leads has a lease of %s there.", strings.TrimPrefix(endpoint, "http://"), lease)
	s.say("First column: time since the start. Second: time since the line with the dot.")
}

// act begins a part of the story: what will be done, and why it comes out as it does.
func (s *story) act(ctx context.Context, title, why string) {
	s.acts++
	s.printf("\n%s\n", s.paint("1", fmt.Sprintf("%d. %s", s.acts, title)))
	for line := range strings.SplitSeq(why, "\n") {
		s.say("%s", line)
	}
	if s.live {
		clock.Pause(ctx, 2*time.Second)
	}
}

// say prints a sentence.
func (s *story) say(format string, args ...any) { s.printf("   %s\n", fmt.Sprintf(format, args...)) }

// caused tells of something that the demo does, from which the gaps of the next lines count.
func (s *story) caused(at time.Time, who, format string, args ...any) {
	s.cause = at
	s.row(at, "·", who, fmt.Sprintf(format, args...))
}

// line tells of something that happened at a time, with the gap since its cause.
func (s *story) line(at time.Time, who, format string, args ...any) {
	gap := ""
	if !s.cause.IsZero() {
		gap = "+" + figure(at.Sub(s.cause))
	}
	s.row(at, gap, who, fmt.Sprintf(format, args...))
}

// aside tells of something that was found out, where no gap is of interest.
func (s *story) aside(who, format string, args ...any) {
	s.row(time.Now(), "", who, fmt.Sprintf(format, args...))
}

func (s *story) row(at time.Time, gap, who, text string) {
	s.printf("%7.2f s  %10s  %s %s\n", at.Sub(s.start).Seconds(), gap, s.paint(hues[who], fmt.Sprintf("%-5s", who)), text)
}

var hues = map[string]string{"ada": "36", "bob": "33", "cleo": "35", etcdItself: "2"}

// evidence prints what was seen when something came out otherwise than promised.
func (s *story) evidence(records []record) {
	s.printf("\n%s\n", s.paint("1", "This came out otherwise than promised. What was seen:"))
	s.cause = time.Time{}
	for _, r := range records {
		s.line(r.At, r.who, "%v", r)
	}
}

// figure prints a duration with as many digits as anybody wants to read.
func figure(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// invite says what can be done with what is left running.
func (s *story) invite(endpoint, program string, candidates []*candidate) {
	s.printf("\n%s\n", s.paint("1", "Everything is left running. In another terminal:"))
	s.say("export LOCKED_ENDPOINTS=%s", strings.TrimPrefix(endpoint, "http://"))
	s.say("%s watch %s", program, path)
	s.say("%s get %s -o json", program, path)
	s.say("%s campaign %s --id you --value here", program, path)
	for _, a := range candidates {
		s.say("kill -TERM %-7d  # %s hands over if it leads; kill -KILL is a crash", a.pid(), a.name)
	}
	s.say("With etcd's own tools: etcdctl --endpoints $LOCKED_ENDPOINTS get --prefix %s", path)
	s.printf("\nWhat happens is told here. Interrupt (^C) to end it all.\n")
	s.cause = time.Time{}
}
