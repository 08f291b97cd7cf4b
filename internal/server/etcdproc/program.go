// Package etcdproc runs etcd programs, which are files, of whatever release: with the configuration of package etcdserver,
// which runs the one that is built in.
package etcdproc

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/samcday/locked/internal/server/child"
	"github.com/samcday/locked/internal/server/etcdserver"
)

// Program is an etcd as a file.
type Program struct {
	Path    string
	Version string // that it says it has, such as "3.5.23"

	noFsync bool // it can be told to leave writing to disk to the operating system
}

var versionLine = regexp.MustCompile(`(?m)^etcd Version: (\S+)$`)

// Look finds out what a file is, by running it.
func Look(ctx context.Context, path string) (*Program, error) {
	says, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	version := versionLine.FindSubmatch(says)
	switch {
	case version == nil && err != nil:
		return nil, fmt.Errorf("etcd program %q: %w", path, err)
	case version == nil:
		return nil, fmt.Errorf("etcd program %q: says %.100q of its version", path, says)
	}
	help, err := exec.CommandContext(ctx, path, "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("etcd program %q: --help: %w", path, err)
	}
	return &Program{Path: path, Version: string(version[1]), noFsync: strings.Contains(string(help), "--unsafe-no-fsync")}, nil
}

// Command is how to run the program: it logs to its standard error, and ends with whoever has started it, on Linux. The
// configuration has a port and a directory. A program that always waits for the disk does so whatever the configuration says.
func (p *Program) Command(cfg etcdserver.Config) (*exec.Cmd, error) {
	cfg.NoFsync = cfg.NoFsync && p.noFsync
	flags, err := cfg.Flags()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.Path, append(flags, "--logger=zap", "--log-outputs=stderr")...)
	child.Bind(cmd)
	return cmd, nil
}
