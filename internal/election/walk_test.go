package election

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	walkFor  = flag.Duration("walk", 3*time.Second, "how long to walk at random")
	walkSeed = flag.Uint64("seed", 0, "first seed of the walks, 0 for any")
)

// choices are where a world takes its luck from: they are written down, so that a walk can be repeated and shortened.
type choices struct {
	next func() (byte, bool)
	made []byte
	over bool
}

func (c *choices) pick(n int) int {
	b, ok := c.next()
	if !ok {
		c.over = true
		return 0
	}
	c.made = append(c.made, b)
	return int(b) % n
}

func (c *choices) chance(n int) bool { return c.pick(n) == n-1 }

func replay(data []byte) *choices {
	return &choices{next: func() (byte, bool) {
		if len(data) == 0 {
			return 0, false
		}
		b := data[0]
		data = data[1:]
		return b, true
	}}
}

// A walk makes so many moves, or tries so often, before everything is healed.
const (
	maxMoves = 150
	maxTries = 1200
)

// walk makes moves as the choices say, then heals the world. It reports the law that was broken, if any.
func walk(c *choices, tracing bool) (w *world, broken string) {
	var t *tape
	if tracing {
		t = &tape{}
	}
	w = newWorld(c, t)
	w.seen = map[string]int{}
	return w, violated(func() { w.walk(c) })
}

func (w *world) walk(c *choices) {
	w.draw()
	w.populate(2 + w.luck.pick(3))
	on := weighted(w)
	for made, tries := 0, 0; made < maxMoves && tries < maxTries && !c.over; tries++ {
		m, p := on[w.luck.pick(len(on))], w.procs[w.luck.pick(len(w.procs))]
		if w.make(m, p) {
			made++
			w.cover("move %s", m.name)
		}
	}
	w.heal()
}

// weighted is a lot of moves to draw from. Every walk has two of them that happen more often than they would.
func weighted(w *world) (on []move) {
	favourite, other := w.luck.pick(len(moves)), w.luck.pick(len(moves))
	for i, m := range moves {
		if i == favourite || i == other {
			m.weight += 12
		}
		for range m.weight {
			if w.may(m.fault) {
				on = append(on, m)
			}
		}
	}
	return on
}

// TestWalk lets candidates and everything around them do what they like, and holds every step against the laws.
func TestWalk(t *testing.T) {
	seed := *walkSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	covered, total, runs := map[string]int{}, 0, 0
	for end := time.Now().Add(*walkFor); time.Now().Before(end); seed++ {
		rnd := rand.New(rand.NewPCG(seed, 0))
		c := &choices{next: func() (byte, bool) { return byte(rnd.Uint32()), true }}
		w, broken := walk(c, false)
		if broken != "" {
			report(t, seed, c.made, broken)
			return
		}
		runs++
		for k, n := range w.seen {
			covered[k] += n
			if strings.HasPrefix(k, "move ") {
				total += n
			}
		}
	}
	t.Logf("%d walks, %d moves: %v", runs, total, covered)
}

// report shortens a walk that broke a law and shows it.
func report(t *testing.T, seed uint64, data []byte, broken string) {
	t.Helper()
	short := shorten(data, law(broken))
	w, broken := walk(replay(short), true)
	t.Errorf("seed %d: %s\n%sas bytes: %q", seed, broken, w.story(t, broken), short)
}

// law is what a violation is about, without its particulars.
func law(broken string) string {
	name, _, _ := strings.Cut(broken, ":")
	return name
}

// shorten leaves out choices as long as the same law is broken.
func shorten(data []byte, broken string) []byte {
	still := func(d []byte) bool {
		_, b := walk(replay(d), false)
		return law(b) == broken
	}
	for chunk := len(data) / 2; chunk > 0; {
		again := false
		for i := 0; i+chunk <= len(data); {
			if less := append(data[:i:i], data[i+chunk:]...); still(less) {
				data, again = less, true
			} else {
				i++
			}
		}
		if !again || chunk > 1 {
			chunk /= 2
		}
	}
	return zero(data, still)
}

// zero replaces choices by the simplest one.
func zero(data []byte, still func([]byte) bool) []byte {
	for i := range data {
		simpler := append([]byte(nil), data...)
		if simpler[i] = 0; still(simpler) {
			data = simpler
		}
	}
	return data
}
