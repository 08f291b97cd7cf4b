package election

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// tape writes down what every candidate of a world is told, as a script for TestScripts, and what it does about it.
type tape struct{ tracks []*track }

// track is what one candidate was told.
type track struct {
	seed  string
	lines []string
	did   []string
	ahead []string // how the view has moved since the last step
	read  string   // what was read last

	now     time.Duration
	guarded bool
	leases  []Lease
	current int64
}

func (t *tape) track(p *proc) *track {
	for _, r := range t.tracks {
		if r.seed == p.seed {
			return r
		}
	}
	r := &track{seed: p.seed}
	if p.seed != "a" {
		r.line("seed %s", p.seed)
	}
	t.tracks = append(t.tracks, r)
	return r
}

func (r *track) line(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (t *tape) read(p *proc, s snapshot) {
	if t == nil {
		return
	}
	r := t.track(p)
	r.read = fmt.Sprintf("rev=%d", s.rev)
	for _, c := range s.changes {
		r.read += " " + named(wrote(c))
	}
	r.ahead = append(r.ahead, "view "+r.read)
}

func (t *tape) opened(p *proc) {
	if t != nil {
		r := t.track(p)
		r.ahead = append(r.ahead, fmt.Sprintf("opened rev=%d", p.w.etcd.rev))
	}
}

// named writes a key as a read shows it: by its part first.
func named(key string) string {
	for _, part := range [...][2]string{{"PATH=", "path="}, {"term/", "term="}, {"queue/", "queue="}} {
		if rest, ok := strings.CutPrefix(key, part[0]); ok {
			return part[1] + rest
		}
	}
	return key
}

// watched notes what a watch has told: that on PATH, or that on the other keys.
func (t *tape) watched(p *proc, word string, rev int64, changes []Change) {
	if t == nil {
		return
	}
	line := fmt.Sprintf("%s rev=%d", word, rev)
	for _, c := range changes {
		if c.Deletion {
			line += " delete=" + short(c.Name)
		} else {
			line += " put=" + wrote(c)
		}
	}
	r := t.track(p)
	r.ahead = append(r.ahead, line)
}

// wrote is NAME=DATA@CREATE/MOD/LEASE.
func wrote(c Change) string {
	return fmt.Sprintf("%s=%s@%d/%d/%d", short(c.Name), c.Key.Data, c.Key.Create, c.Key.Mod, c.Key.Lease)
}

// stepped notes an input, and before it all that it looks at.
func (t *tape) stepped(p *proc, in Input) {
	if t == nil {
		return
	}
	r := t.track(p)
	r.catchUp(p)
	last := len(r.ahead) - 1
	for i, line := range r.ahead {
		switch {
		case i == last && in.What == Seen && !strings.HasPrefix(line, "opened"):
			r.line("%s", line)
		case i == last && in.What == Answer && line == "view "+r.read && reads(p, in): // the answer says it
		case strings.HasPrefix(line, "opened"):
			r.line("%s", line)
		default:
			r.line("%s unseen", line)
		}
	}
	if told := last >= 0 && in.What == Seen && !strings.HasPrefix(r.ahead[last], "opened"); !told {
		r.line("%s", r.input(p, in))
	}
	r.ahead = nil
}

// reads reports whether the answer says what was read.
func reads(p *proc, in Input) bool {
	return in.Reply.Result == Refused || in.Reply.Result == Committed && p.cand.asked == Read && in.Reply.Seq == p.cand.seq
}

func (r *track) input(p *proc, in Input) string {
	switch in.What {
	case Enter:
		return "enter " + in.Data
	case Set:
		return "set " + in.Data
	case Leave:
		return "leave " + map[Cause]string{Stopped: "stopped", Unhealthy: "unhealthy"}[in.Cause]
	case Answer:
		return r.answer(p, in)
	}
	return map[What]string{Seen: "seen", Expired: "expired", Rested: "rested", Overdue: "overdue", Woke: "woke", WentBack: "back"}[in.What]
}

func (r *track) answer(p *proc, in Input) string {
	line := [...]string{"committed", "refused", "denied", "unknown"}[in.Reply.Result]
	if in.Reply.Doubt {
		line = "undecided"
	}
	if in.Reply.Seq != p.cand.seq {
		line += fmt.Sprintf(" seq=%d", in.Reply.Seq)
	}
	switch {
	case reads(p, in):
		line += " " + r.read
	case in.Reply.Revision != 0:
		line += fmt.Sprintf(" rev=%d", in.Reply.Revision)
	}
	return line
}

// catchUp brings the script to the same time and the same leases.
func (r *track) catchUp(p *proc) {
	if r.now != p.w.now {
		r.now = p.w.now
		r.line("at %d", r.now)
	}
	if r.guarded != p.cand.guarded {
		r.guarded = p.cand.guarded
		r.line("guard %s", map[bool]string{true: "on", false: "off"}[r.guarded])
	}
	for _, l := range r.leases {
		if p.hold.Lease(l.ID) == nil {
			r.line("drop %d", l.ID)
		}
	}
	for _, l := range p.hold.Leases {
		old, known := leaseOf(r.leases, l.ID)
		if !known || old.Deadline != l.Deadline {
			r.line("lease %d until=%d", l.ID, l.Deadline)
		}
		if !known {
			r.current = l.ID
		}
	}
	if r.current != p.hold.Current {
		r.line("current %d", p.hold.Current)
	}
	r.leases, r.current = nil, p.hold.Current
	for _, l := range p.hold.Leases {
		r.leases = append(r.leases, *l)
	}
}

func leaseOf(leases []Lease, id int64) (Lease, bool) {
	for _, l := range leases {
		if l.ID == id {
			return l, true
		}
	}
	return Lease{}, false
}

func (t *tape) did(p *proc, a Action) {
	if t != nil {
		r := t.track(p)
		r.did = append(r.did, action(a))
	}
}

// script is the track as a file for testdata.
func (r *track) script(t *testing.T, why string) string {
	return perform(t, "# "+why+"\n\n"+strings.Join(r.lines, "\n")+"\n----\n")
}

// A script that was taped does what the candidate did in its world.
func TestTape(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		c := &choices{next: func() (byte, bool) { return byte(rnd.Uint32()), true }}
		w, broken := walk(c, true)
		if broken != "" {
			t.Fatalf("seed %d: %s", seed, broken)
		}
		for _, r := range w.tape.tracks {
			want, got := strings.Join(r.did, "\n"), actionsIn(r.script(t, "a walk"))
			if want != got {
				t.Fatalf("seed %d, %s: %s\nthe script:\n%s", seed, r.seed, difference(want, got), strings.Join(r.lines, "\n"))
			}
		}
	}
}

// actionsIn picks the actions from what a script gives.
func actionsIn(script string) string {
	_, given, _ := strings.Cut(script, "\n----\n")
	var out []string
	for _, line := range strings.Split(given, "\n") {
		word, _, _ := strings.Cut(line, " ")
		if slices.Contains([]string{"ask", "select", "deselect", "wait,", "foreign", "out"}, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
