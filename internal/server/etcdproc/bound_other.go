//go:build !linux

package etcdproc

import "syscall"

func bound() *syscall.SysProcAttr { return nil }
