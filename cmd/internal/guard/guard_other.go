//go:build !linux && !darwin

package guard

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"time"
)

var errNotHere = errors.New("running a program under guard works on Linux and macOS, and not yet on " + runtime.GOOS)

// Guard is not to be had here.
type Guard struct{}

// New fails.
func New(...string) (*Guard, error) { return nil, errNotHere }

// Main fails.
func Main(*slog.Logger) error { return errNotHere }

// Run does nothing.
func (*Guard) Run(Program, Times, func() time.Duration) <-chan Report { return nil }

// Signal does nothing.
func (*Guard) Signal(syscall.Signal) {}

// Stop does nothing.
func (*Guard) Stop() {}

// Continue does nothing.
func (*Guard) Continue() {}

// Close does nothing.
func (*Guard) Close() {}

// Gone is true.
func (*Guard) Gone() bool { return true }

// Reap does nothing.
func Reap() {}

// Signals is empty.
func Signals() []os.Signal { return nil }

// Ends is true.
func Ends(syscall.Signal) bool { return true }

// Terminal is not to be had here.
type Terminal struct{}

// OpenTerminal gives none.
func OpenTerminal() *Terminal { return nil }

// Give does nothing.
func (*Terminal) Give(int) bool { return false }

// Has is false.
func (*Terminal) Has(int) bool { return false }

// Take does nothing.
func (*Terminal) Take(int) {}

// Suspend does nothing.
func Suspend() {}

// Pauses is false.
func Pauses(int) bool { return false }

// Wants is false.
func Wants(int) bool { return false }
