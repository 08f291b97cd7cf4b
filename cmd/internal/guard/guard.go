//go:build linux || darwin

package guard

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/samcday/locked/internal/clock"
)

// Guard is the supervisor's side of a guard process. It runs one program, once.
type Guard struct {
	cmd     *exec.Cmd
	socket  socket
	heard   <-chan Report
	orders  chan order
	reports chan Report
	gone    chan struct{} // closed when the guard process is
	end     sync.Once

	deadline func() time.Duration
	times    Times
	held     clock.Deadline // the deadline that the guard has confirmed last
	silent   int            // ticks since it has confirmed anything
	started  Report
}

// New starts a guard process with the given command, which must call [Main]. It waits for [Guard.Run]. Making one in time
// saves the start of a process when it matters.
func New(command ...string) (*Guard, error) {
	adopt()
	ours, theirs, err := newSocket()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	self, err := itself()
	if err != nil {
		return nil, err
	}
	g := &Guard{
		cmd:    &exec.Cmd{Path: self, Args: command, ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}},
		socket: ours, orders: make(chan order), reports: make(chan Report, 1), gone: make(chan struct{}),
	}
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := g.cmd.Start(); err != nil {
		_ = ours.conn.Close()
		return nil, err
	}
	go func() {
		defer close(g.gone)
		_ = g.cmd.Wait() // how it ended does not matter
	}()
	g.heard = receive[Report](ours)
	return g, nil
}

// Run starts the program, and keeps it alive up to the reading of [Now] that deadline gives when it is asked again and
// again; 0 stands for the last one. What becomes of the program comes as reports, which must be received until the one
// that says that it has ended: then the channel is closed.
func (g *Guard) Run(p Program, times Times, deadline func() time.Duration) <-chan Report {
	g.times, g.deadline, g.held = times, deadline, clock.NewDeadline(deadline)
	g.socket.sendAll(order{Run: &p, Times: times, Deadline: g.held}, max(g.held.Reading()-times.Grace-clock.Uptime(), times.tick()))
	go g.supervise()
	return g.reports
}

// Signal signals the program's process group.
func (g *Guard) Signal(s syscall.Signal) { g.tell(order{Signal: int(s)}) }

// Stop asks the program to end, and kills it when the grace or the time is over.
func (g *Guard) Stop() { g.tell(order{Stop: true}) }

func (g *Guard) tell(o order) {
	select {
	case g.orders <- o:
	case <-g.gone: // then the program is being killed
	}
}

// Gone reports whether the guard process is.
func (g *Guard) Gone() bool {
	select {
	case <-g.gone:
		return true
	default:
		return false
	}
}

// Continue makes the program go on that was stopped.
func (g *Guard) Continue() { g.Signal(syscall.SIGCONT) }

// Close dismisses a guard that has not been asked to run anything.
func (g *Guard) Close() {
	_ = g.cmd.Process.Kill() // it may have been stopped
	g.end.Do(func() { _ = g.socket.conn.Close() })
	<-g.gone
}

func (g *Guard) supervise() {
	defer close(g.reports)
	look := time.NewTimer(g.times.tick())
	defer look.Stop()
	for {
		select {
		case o := <-g.orders:
			g.socket.send(o)
		case r, ok := <-g.heard:
			if !ok {
				g.replace()
				return
			}
			if g.hears(r) {
				return
			}
		case <-look.C:
			left := g.look()
			if left <= 0 {
				g.replace()
				return
			}
			look.Reset(min(left, g.times.tick()))
		}
	}
}

// hears takes a report, and hands it on unless it is only a confirmation.
func (g *Guard) hears(r Report) (ended bool) {
	g.silent = 0
	if r.Held.At != 0 {
		g.held = r.Held
		return false
	}
	if r.Started != 0 {
		g.started = r
	}
	if r.Ended != nil {
		g.end.Do(func() { _ = g.socket.conn.Close() })
		<-g.gone
	}
	for { // who takes the reports may be waiting for us to take an order
		select {
		case g.reports <- r:
			return r.Ended != nil
		case o := <-g.orders:
			g.socket.send(o)
		}
	}
}

// look tells the guard the deadline, and gives the time in which the guard must have confirmed a later one than it has, or
// have ended everything.
func (g *Guard) look() time.Duration {
	if d := clock.NewDeadline(g.deadline); d.At != 0 {
		g.socket.send(order{Deadline: d})
	}
	if g.silent++; g.silent%5 == 0 {
		_ = g.cmd.Process.Signal(syscall.SIGCONT) // somebody may have stopped it
	}
	left := g.held.Reading() - g.times.Reserve()/2 - clock.Uptime()
	if left <= 0 && g.silent < 2 {
		return 10 * time.Millisecond // we were stopped ourselves, and have not heard yet what it has done
	}
	return left
}

// replace does what the guard does not any more: it kills everything at once.
func (g *Guard) replace() {
	_ = g.cmd.Process.Kill() // which kills the program, on Linux, and makes the rest ours
	<-g.gone
	g.end.Do(func() { _ = g.socket.conn.Close() })
	began, told := clock.Uptime(), false
	for g.started.killRest() {
		if clock.Uptime() > began+time.Second && !told {
			told = true
			g.reports <- Report{Stuck: []int{g.started.Started}}
		}
		time.Sleep(5 * time.Millisecond)
	}
	g.reports <- Report{Ended: &Result{Why: Unguard, Code: -1}}
}

// itself is this binary, also when its file has been replaced meanwhile.
func itself() (string, error) {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); !errors.Is(err, os.ErrNotExist) {
		return link, err
	}
	return os.Executable()
}
