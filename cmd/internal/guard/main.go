//go:build linux || darwin

package guard

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samcday/locked/internal/clock"
)

// handedOver is the descriptor of the guard's end of the socket.
const handedOver = 3

// Main is the guard: the life of a process that [New] has started. It returns when nothing of the program is left. The log
// must not make it wait: the deadline does not.
func Main(log *slog.Logger) error {
	f := os.NewFile(handedOver, "guard")
	if f == nil {
		return errors.New("the guard is started by others, and does nothing by itself")
	}
	syscall.CloseOnExec(handedOver)
	l, err := openSocket(f)
	if err != nil {
		return errors.New("the guard is started by others, and does nothing by itself")
	}
	runtime.LockOSThread() // the parent-death signal comes when the thread that has forked ends
	adopt()
	outlive()
	w := &warden{log: log, socket: l, orders: receive[order](l), children: make(chan os.Signal, 1), timer: time.NewTimer(time.Hour)}
	signal.Notify(w.children, unix.SIGCHLD)
	w.run()
	return nil
}

// outlive makes the process survive the signals that are meant for others: it ends when its socket does. They are handled,
// not ignored, since the program would inherit that.
func outlive() {
	deaf := make(chan os.Signal, 1)
	for _, s := range append(Forwarded(), unix.SIGTSTP, unix.SIGTTIN, unix.SIGPIPE, unix.SIGALRM) {
		signal.Notify(deaf, s)
	}
}

// Forwarded are the signals that are handed on to the program. One that was ignored when this process started stays so.
func Forwarded() []os.Signal {
	var list []os.Signal
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH} {
		if !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}

// warden is what the guard does: one loop, on one thread.
type warden struct {
	log      *slog.Logger
	socket   socket
	orders   <-chan order // nil when the supervisor is gone
	children chan os.Signal
	timer    *time.Timer

	program  tree
	times    Times
	deadline clock.Deadline
	result   Result
	exited   bool          // the program itself
	stopping bool          // it is to end
	killAt   time.Duration // then
	killing  time.Duration // since then
	told     bool          // who is stuck
	gone     bool          // everything
}

func (w *warden) run() {
	for !w.gone {
		select {
		case o, ok := <-w.orders:
			w.obey(o, ok)
		case <-w.children:
			w.reap()
		case <-w.timer.C:
		}
		w.look()
	}
	w.program.release()
	w.socket.send(Report{Ended: &w.result})
}

func (w *warden) obey(o order, ok bool) {
	switch {
	case !ok:
		w.orders = nil
		if !w.program.running() {
			w.result, w.gone = Result{Why: Orphaned, Code: -1}, true
			return
		}
		w.stop(Orphaned)
		w.log.Warn("the process that is guarded from is gone: ending the program", "pid", w.program.pid)
	case o.Run != nil:
		w.times, w.deadline = o.Times, o.Deadline
		w.start(o.Run)
	case o.Signal != 0:
		w.program.group(syscall.Signal(o.Signal))
	case o.Stop:
		w.stop(Asked)
	case o.Deadline.At != 0:
		w.deadline = o.Deadline
	}
	w.socket.send(Report{Held: w.deadline})
}

// start runs the program, unless its time is over already.
func (w *warden) start(p *Program) {
	var err error
	if clock.Uptime() >= w.deadline.Reading()-w.times.Grace {
		w.result, w.gone = Result{Why: Expired, Code: -1, Error: "there was no time left to start it"}, true
		return
	}
	signal.Notify(make(chan os.Signal, 1), unix.SIGTTOU) // so that the program does not inherit what comes then
	w.program, err = plant(p)
	signal.Ignore(unix.SIGTTOU) // else we could not write to a terminal that is the program's
	if err != nil {
		w.result = Result{Why: Itself, Code: -1, Error: err.Error(), NotFound: errors.Is(err, os.ErrNotExist)}
		w.gone = true
		return
	}
	w.socket.send(Report{Started: w.program.pid, Cgroup: w.program.cgroup()})
}

// latest is when everything must be killed, so that it is gone at the deadline.
func (w *warden) latest() time.Duration { return w.deadline.Reading() - w.times.Reserve() }

// stop asks everything to end, and sets the time at which it is killed.
func (w *warden) stop(why Why) {
	if w.stopping || !w.program.running() {
		return
	}
	w.stopping = true
	w.killAt = min(clock.Uptime()+w.times.Grace, w.latest())
	if !w.exited {
		w.result.Why = why
	}
	if clock.Uptime() < w.killAt {
		w.program.ask()
	}
}

// look does what is due.
func (w *warden) look() {
	if w.gone || !w.program.running() {
		return
	}
	now := clock.Uptime()
	if !w.stopping && now >= w.deadline.Reading()-w.times.Grace+w.times.tick() { // the supervisor, if it lives, has said so before
		w.stop(Expired)
		w.log.Warn("not renewed in time: ending the program", "pid", w.program.pid)
	}
	if w.stopping {
		w.reap() // where nobody tells that the group is empty
	}
	next := w.times.tick() // not the time that is left: timers stand still while the machine is suspended
	if w.killAt = min(w.killAt, w.latest()); w.stopping && now >= w.killAt {
		w.kill(now)
		if now < w.killing+10*time.Second { // who has not gone by then is not ours to kill, or waits for a disk
			next = 5 * time.Millisecond
		}
	} else if w.stopping {
		next = min(next, w.killAt-now)
	}
	w.timer.Reset(next)
}

// kill kills what there is, again and again, since a process may have forked meanwhile.
func (w *warden) kill(now time.Duration) {
	if w.killing == 0 {
		w.killing = now
	}
	w.program.kill()
	w.reap()
	if now > w.killing+time.Second && !w.told && !w.gone {
		w.told = true
		w.socket.send(Report{Stuck: w.program.left()})
	}
}

// reap takes leave of the dead. Without any child there is no descendant either: all that lose their parent become ours.
func (w *warden) reap() {
	for range 100 { // then there is the clock to look at, even if they die faster than we count
		var status unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &status, waitFlags, nil); {
		case errors.Is(err, unix.EINTR):
		case pid == 0, err != nil && w.program.alive():
			w.sweep()
			return
		case err != nil: // ECHILD
			w.vanished()
			return
		case pid == w.program.pid && status.Stopped():
			w.socket.send(Report{Paused: int(status.StopSignal())})
		case pid == w.program.pid && (status.Exited() || status.Signaled()):
			w.ended(status)
		}
	}
	w.sweep()
	select {
	case w.children <- unix.SIGCHLD: // to go on soon
	default:
	}
}

// vanished takes note that there are no children. The program is among them even if its status was not to be had.
func (w *warden) vanished() {
	if w.gone = w.program.running(); w.gone && !w.exited {
		w.result.Code = -1
		if !w.stopping {
			w.result.Why = Itself
		}
	}
}

// sweep ends what the program has left behind.
func (w *warden) sweep() {
	if w.exited && !w.stopping {
		w.result.Leftover = len(w.program.left())
		w.stop(Itself)
	}
}

func (w *warden) ended(status unix.WaitStatus) {
	w.exited, w.program.reaped = true, true
	if !w.stopping {
		w.result.Why = Itself
	}
	w.result.Code = status.ExitStatus()
	if status.Signaled() {
		w.result.Signal = int(status.Signal())
		w.result.Code = 128 + w.result.Signal
	}
}
