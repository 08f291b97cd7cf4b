package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/doctor"
)

// The exit codes of all commands. From 64 on they are those of sysexits.h, which systemd knows by name and other programs
// rarely use: so they can be told from the code of a program that a command runs.
const (
	exitDone        = 0
	exitNo          = 1
	exitUnknown     = 2
	exitUsage       = 64
	exitUnreachable = 69
	exitFailed      = 70
	exitNotInTime   = 75
	exitRefused     = 77
	exitLost        = 79
	exitCannotRun   = 126
	exitNoCommand   = 127
	exitInterrupted = 130
)

var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitDone, "done; a campaign, a watch or a server that was interrupted and has ended cleanly"},
	{exitNo, "nobody is there (get, candidates, transfer), or something is wrong (doctor, demo, chaos)"},
	{exitUnknown, "chaos: too little happened to know"},
	{exitUsage, "wrong usage: a command, argument, flag, variable or value that cannot work"},
	{exitUnreachable, "etcd cannot be reached, or not what answers there, or not in time"},
	{exitFailed, "something else failed, as told on stderr"},
	{exitNotInTime, "run, transfer: not in the time that --wait or --try give, or a transfer is pending"},
	{exitRefused, "etcd refused: a wrong password, or a missing permission"},
	{exitLost, "run: leadership was lost, and CMD ended for it"},
	{exitCannotRun, "run: CMD cannot be executed"},
	{exitNoCommand, "run: CMD was not found"},
	{exitInterrupted, "interrupted before there was an answer"},
}

var problemCodes = map[doctor.Kind]int{
	doctor.Unreachable: exitUnreachable, doctor.Refused: exitRefused, doctor.Unfit: exitUsage,
}

// exitHelp is the table of exit codes for the help text.
func exitHelp() string {
	var b strings.Builder
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// silent is an error that stderr is not told of: somebody else has said what there is to say.
type silent struct{ error }

// signalled is the code that a shell gives for a process that a signal has ended.
func signalled(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitInterrupted
}

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode maps what a command returned to the code that the process ends with.
func exitCode(err error) int {
	var coded *exitError
	var problem *doctor.Problem
	var config *locked.ConfigError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &problem):
		return problemCodes[problem.Kind]
	case errors.As(err, &config):
		return exitUsage
	case errors.Is(err, locked.ErrNoLeader):
		return exitNo
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// errorText is what stderr is told of an error: nothing if the user knows, since it is what he did.
func errorText(err error) string {
	var quiet silent
	if code := exitCode(err); code == exitDone || code == exitInterrupted || errors.As(err, &quiet) {
		return ""
	}
	text := strings.TrimPrefix(err.Error(), "etcdserver: ")
	return "locked: " + strings.ReplaceAll(text, "locked: ", "") // which the errors of the library begin with
}
