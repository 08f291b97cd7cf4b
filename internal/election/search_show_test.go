package election

import (
	"fmt"
	"strings"
	"testing"
)

// story tells what happened in a world, then how to put each of its candidates through it again: as scripts for testdata.
func (w *world) story(t *testing.T, broken string) string {
	var b strings.Builder
	for _, line := range w.trace {
		fmt.Fprintln(&b, line)
	}
	for _, r := range w.tape.tracks {
		fmt.Fprintf(&b, "\nAs a script for testdata, what %s was told:\n\n%s", r.seed, r.script(t, broken))
	}
	return b.String()
}

// again goes the way once more. Steps that are not possible any more are left out.
func (c *config) again(way []turn, t *tape) (w *world, broken string) {
	w = c.begin(t)
	return w, violated(func() {
		for _, at := range way {
			o := odometer{digits: append([]int(nil), at.luck...), arity: make([]int, len(at.luck))}
			w.luck = &o
			w.make(moves[at.move], w.procs[at.slot])
		}
		if w.quiet() {
			w.comeToRest()
		}
	})
}

// quiet reports whether nothing is bound to happen.
func (w *world) quiet() bool {
	for _, m := range moves {
		for slot := range w.procs {
			c := w.clone(&world{})
			c.luck, c.tape, c.tracing = calm{}, nil, false
			if m.bound && c.make(m, c.procs[slot]) {
				return false
			}
		}
	}
	return true
}

// shortest leaves out what the same law is broken without.
func (c *config) shortest(way []turn, broken string) []turn {
	for chunk := len(way) / 2; chunk > 0; {
		again := false
		for i := 0; i+chunk <= len(way); {
			less := append(way[:i:i], way[i+chunk:]...)
			if _, b := c.again(less, nil); law(b) == law(broken) {
				way, again = less, true
			} else {
				i++
			}
		}
		if !again {
			chunk /= 2
		}
	}
	return way
}

// show tells how a law came to be broken.
func (s *search) show(t *testing.T, broken string) string {
	way := s.way
	if broken != endless {
		way = s.shortest(way, broken)
	}
	var tape tape
	w, again := s.again(way, &tape)
	return fmt.Sprintf("%s\n%s", again, w.story(t, broken))
}
