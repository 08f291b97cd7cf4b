package chaos

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Display shows how a run goes on: on a terminal by one line that changes, elsewhere by a line now and then.
type Display struct {
	w        io.Writer
	terminal bool
	phase    string
	last     time.Time
}

const displayLines = 10 * time.Second // between two lines, where they do not change

// NewDisplay gives one that writes there.
func NewDisplay(w io.Writer) *Display {
	c := &Display{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		c.terminal = err == nil
	}
	return c
}

// Show takes the place of what was shown before.
func (c *Display) Show(p Progress) {
	for _, v := range p.News {
		c.clear()
		fmt.Fprintf(c.w, "%s\n", v)
	}
	line := fmt.Sprintf("%s: %v of %v, %d faults (%d hit), %d leader changes, %d violations", p.Phase,
		p.Elapsed.Round(time.Second), p.Duration, p.Faults, p.Hit, p.Changes, p.Violations)
	if p.Elapsed == 0 {
		line = p.Phase
	}
	if c.terminal {
		fmt.Fprintf(c.w, "\r\x1b[K%s", line)
		return
	}
	if time.Since(c.last) > displayLines || p.Elapsed == 0 && p.Phase != c.phase {
		fmt.Fprintln(c.w, line)
		c.last, c.phase = time.Now(), p.Phase
	}
}

func (c *Display) clear() {
	if c.terminal {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
}

// End takes the line away.
func (c *Display) End() { c.clear() }
