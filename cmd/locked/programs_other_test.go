//go:build !linux

package main

import "os"

var (
	programs    map[string]func()
	moreSignals map[string]os.Signal
)
