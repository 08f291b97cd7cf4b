package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const mainFile = `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
`

// build compiles a release, in a module of its own.
func build(ctx context.Context, version, dir, to string) error {
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(mainFile), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"go", "mod", "init", "etcd"},
		{"go", "get", "go.etcd.io/etcd/server/v3@v" + version},
		{"go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", to, "."},
	} {
		if err := run(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// unpack takes the program out of Debian's package. It is not installed: that would start it.
func unpack(ctx context.Context, version, dir, to string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("is taken from the package etcd-server of Debian 12, and here is no apt: %w", err)
	}
	if err := run(ctx, dir, "apt-get", "-q", "download", "etcd-server="+version+"*"); err != nil {
		return fmt.Errorf("is taken from the package etcd-server of Debian 12; is this one, and was apt-get update run? %w", err)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		return errors.Join(fmt.Errorf("apt-get has got %q", packages), err)
	}
	if err := run(ctx, dir, "dpkg", "-x", packages[0], "unpacked"); err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(dir, "unpacked", "usr", "bin", "etcd"))
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// run runs a command, whose output nobody needs unless it fails. The go command is not to be told what is meant for another
// module.
func run(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOWORK=off", "GOFLAGS=", "GO111MODULE=on", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), out)
	}
	return nil
}
