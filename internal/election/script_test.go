package election

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write down what the scripts in testdata give now")

// TestScripts feeds one candidate with what the scripts in testdata say and compares what it does. A script begins with why
// it is there. Then come blocks: inputs, a line "----", and what they gave, up to an empty line. See script for the inputs.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts:", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := perform(t, string(text))
			if *rewrite {
				err = os.WriteFile(name, []byte(got), 0o644)
			} else if got != string(text) {
				t.Errorf("%s gives\n%s", name, difference(string(text), got))
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// perform goes through a script and returns it with what it gives now.
func perform(t *testing.T, text string) string {
	if !strings.HasPrefix(text, "# ") {
		t.Error("a script begins with why it is there")
	}
	s := newScript()
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out.WriteString(line + "\n")
		switch {
		case line == "----":
			out.WriteString(s.result())
			for i+1 < len(lines) && lines[i+1] != "" {
				i++
			}
		case line == "" || strings.HasPrefix(line, "#"):
		default:
			s.line(line)
		}
	}
	return out.String()
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1,
				strings.Join(w[min(i, len(w)):min(i+6, len(w))], "\n      "), strings.Join(g[i:min(i+6, len(g))], "\n      "))
		}
	}
	return "fewer lines than it should"
}

// script is a candidate with what it looks at. Its lines are:
//
//	seed b                             another candidate than "a", first of all
//	at 40                              the clock
//	lease 1 until=98                   a lease, which is current from now on, or its new deadline
//	current 1, drop 1                  0 is none
//	view rev=5 KEYS                    a read of the whole election, and an input that says so
//	watch rev=6 put=KEY delete=NAME    one revision, and an input that says so; also for PATH: path rev=6 put=KEY.
//	                                   With "unseen" at the end the candidate is not told of it yet
//	opened rev=6                       a new watch, that tells what comes after that revision
//	committed rev=7 KEYS               the answer to what was asked last, or refused, denied, unknown; seq=1 for another
//	back                               etcd has gone back: an empty view, no leases, and an input that says so
//	enter a:::1, set a:::2, leave stopped, guard on, seen, expired, rested, overdue, woke
//
// KEYS are path=, term=, transfer= and any number of queue=. A KEY is NAME=DATA@CREATE/MOD/LEASE.
type script struct {
	cand *Candidate
	view View
	hold Holding
	now  time.Duration
	out  strings.Builder
}

func newScript() *script { return &script{cand: NewCandidate(path, "a", grace)} }

func (s *script) line(line string) {
	word, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch word {
	case "at":
		s.now = time.Duration(number(args[0]))
	case "lease":
		s.lease(number(args[0]), args[1])
	case "current":
		s.hold.Current = number(args[0])
	case "drop":
		s.drop(number(args[0]))
	case "seed":
		s.cand = NewCandidate(path, args[0], grace)
	case "opened":
		s.view.Opened(number(strings.TrimPrefix(args[0], "rev=")))
	case "guard":
		s.cand.Guard(args[0] == "on")
	case "view", "watch", "path":
		n := len(args) - 1
		unseen := args[n] == "unseen"
		if unseen {
			args = args[:n]
		}
		if s.look(word, args); !unseen {
			s.step(Input{What: Seen})
		}
	case "back":
		s.view, s.hold = View{}, Holding{}
		s.step(Input{What: WentBack})
	case "committed", "refused", "denied", "undecided", "unknown":
		s.answer(word, args)
	default:
		s.step(input(word, args))
	}
}

func (s *script) lease(id int64, until string) {
	deadline := time.Duration(number(strings.TrimPrefix(until, "until=")))
	if l := s.hold.Lease(id); l != nil {
		l.Deadline = deadline
		return
	}
	s.hold.Leases = append(s.hold.Leases, &Lease{ID: id, Deadline: deadline})
	s.hold.Current = id
}

func (s *script) drop(id int64) {
	leases := s.hold.Leases
	s.hold.Leases = nil
	for _, l := range leases {
		if l.ID != id {
			s.hold.Leases = append(s.hold.Leases, l)
		}
	}
}

// look brings the view forward.
func (s *script) look(word string, args []string) {
	rev, changes := int64(0), []Change(nil)
	for _, arg := range args {
		what, value, _ := strings.Cut(arg, "=")
		switch what {
		case "rev":
			rev = number(value)
		case "delete":
			changes = append(changes, Change{Name: long(value), Key: Key{Mod: rev}, Deletion: true})
		case "put":
			changes = append(changes, written(value))
		case "path":
			changes = append(changes, written("PATH="+value))
		case "transfer":
			changes = append(changes, written("transfer="+value))
		default:
			changes = append(changes, written(what+"/"+value))
		}
	}
	switch word {
	case "watch":
		s.view.Apply(path, rev, changes)
	case "path":
		s.view.ApplyPath(rev, changes[0])
	default:
		s.view.Reset(path, rev, changes)
	}
}

func (s *script) answer(word string, args []string) {
	r := Reply{Seq: s.cand.seq, Result: map[string]Result{"refused": Refused, "denied": Denied, "undecided": Denied, "unknown": Unknown}[word]}
	r.Doubt = word == "undecided"
	if len(args) > 0 && strings.HasPrefix(args[0], "seq=") {
		r.Seq = uint64(number(args[0][4:]))
		args = args[1:]
	}
	if len(args) > 0 {
		r.Revision = number(strings.TrimPrefix(args[0], "rev="))
		if word == "refused" || s.cand.asked == Read && r.Seq == s.cand.seq {
			s.look("view", args)
		}
	}
	s.step(Input{What: Answer, Reply: r})
}

func (s *script) step(in Input) {
	in.At, in.View, in.Holding = s.now, &s.view, &s.hold
	for _, a := range s.cand.Step(in) {
		s.out.WriteString(action(a) + "\n")
		if a.Do == Ask {
			s.out.WriteString(transaction(a.Txn, "  "))
		}
	}
}

// result is what the candidate has done since the last one, and where it stands.
func (s *script) result() string {
	out := s.out.String() + standing(s.cand, &s.view, &s.hold) + "\n"
	s.out.Reset()
	return out
}

func input(word string, args []string) Input {
	switch word {
	case "enter":
		return Input{What: Enter, Data: args[0]}
	case "set":
		return Input{What: Set, Data: args[0]}
	case "leave":
		return Input{What: Leave, Cause: map[string]Cause{"stopped": Stopped, "unhealthy": Unhealthy}[args[0]]}
	}
	what, ok := map[string]What{"seen": Seen, "expired": Expired, "rested": Rested, "overdue": Overdue, "woke": Woke}[word]
	if !ok {
		panic("no such input: " + word)
	}
	return Input{What: what}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// written reads NAME=DATA@CREATE/MOD/LEASE.
func written(s string) Change {
	name, rest, _ := strings.Cut(s, "=")
	data, revs, _ := strings.Cut(rest, "@")
	n := strings.Split(revs, "/")
	return Change{Name: long(name), Key: Key{Data: data, Create: number(n[0]), Mod: number(n[1]), Lease: number(n[2])}}
}
