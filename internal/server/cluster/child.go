package cluster

import (
	"bufio"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/faultproxy"
)

// The names by which the library's tests know what they use of other packages.
type (
	Process = child.Process
	Command = child.Command
)

// Run is [child.Run].
func Run(c Command, settings any, told func(line string)) (*Process, error) {
	return child.Run(c, settings, told)
}

// Settings is [child.Settings].
func Settings(stdin *bufio.Reader, into any) error { return child.Settings(stdin, into) }

// Shut is [faultproxy.Shut].
func Shut(gates ...*faultproxy.Gate) (heal func()) { return faultproxy.Shut(gates...) }
