package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// stage is an empty machine: no GOPATH, no workspace, and a proxy that has the modules of the commit.
type stage struct {
	dir        string
	repository string
	env        []string
}

func newStage(ctx context.Context, dir, revision string) (*stage, error) {
	s := &stage{dir: dir}
	root, err := s.output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	s.repository = strings.TrimSpace(root)
	known, err := s.output(ctx, ".", "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, proxies, _ := strings.Cut(strings.TrimSpace(known), "\n")
	proxy := filepath.Join(dir, "proxy")
	if err := makeProxy(ctx, proxy, s.repository, revision); err != nil {
		return nil, err
	}
	s.env = append(
		os.Environ(), "GOPATH="+filepath.Join(dir, "gopath"), "GOMODCACHE="+filepath.Join(dir, "gopath", "pkg", "mod"), "GOBIN=",
		"GOWORK=off", "GOFLAGS=-mod=mod", "GONOSUMDB="+library,
		// What this machine has downloaded before need not come from afar again.
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(cache, "cache", "download")+","+proxies,
	)
	return s, nil
}

// output runs a program in a folder, and gives what it prints.
func (s *stage) output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.String(), nil
}

// clean makes what the go command has downloaded removable.
func (s *stage) clean(ctx context.Context) {
	if _, err := s.output(ctx, s.dir, "go", "clean", "-modcache"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (s *stage) show(ctx context.Context) error {
	binary, err := s.install(ctx)
	if err != nil {
		return err
	}
	return s.add(ctx, binary)
}

// install shows (b).
func (s *stage) install(ctx context.Context) (binary string, err error) {
	if _, err := s.output(ctx, s.dir, "go", "install", library+"/cmd/locked@"+version); err != nil {
		return "", err
	}
	binary = filepath.Join(s.dir, "gopath", "bin", "locked")
	told, err := s.output(ctx, s.dir, binary, "version")
	if err != nil {
		return "", err
	}
	if !strings.Contains(told, version) {
		return "", fmt.Errorf("the installed command says it is %s", told)
	}
	fmt.Printf("go install %s/cmd/locked@%s: works in an empty GOPATH\n", library, version)
	return binary, nil
}

// add shows (a).
func (s *stage) add(ctx context.Context, server string) error {
	dir := filepath.Join(s.dir, "program")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.repository, "test", "modules", "testdata", "program"))); err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} { // in the repository they would make it a module that no workspace has
		if err := os.Rename(filepath.Join(dir, name+".txt"), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	before, err := s.modules(ctx, dir)
	if err != nil {
		return err
	}
	language, err := s.language(ctx, dir)
	if err != nil {
		return err
	}
	if _, err := s.output(ctx, dir, "go", "get", library+"@"+version, library+"/metrics@"+version); err != nil {
		return err
	}
	after, err := s.modules(ctx, dir, "-tags", "withlocked")
	if err != nil {
		return err
	}
	for path, was := range before {
		if is := after[path]; is != was {
			return fmt.Errorf("the library raises %s of a program from %s to %s", path, was, is)
		}
	}
	if is, err := s.language(ctx, dir); err != nil || is != language {
		return fmt.Errorf("the library raises the program's Go from %s to %s: %w", language, is, err)
	}
	fmt.Printf("a program with etcd's client 3.5.21, gRPC 1.64 and Prometheus' client 1.19 is built from %d modules, with the library and metrics from %d; "+
		"none of its own is raised\n", len(before), len(after))
	if _, err := s.output(ctx, dir, "go", "build", "-tags", "withlocked", "-o", "program", "."); err != nil {
		return err
	}
	told, err := s.elect(ctx, server, filepath.Join(dir, "program"))
	fmt.Print(told)
	return err
}

// modules gives the versions of the modules that the program is built from.
func (s *stage) modules(ctx context.Context, dir string, tags ...string) (map[string]string, error) {
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}"}, tags...)
	list, err := s.output(ctx, dir, "go", append(args, ".")...)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(list) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all[path] = version
		}
	}
	return all, nil
}

// language is the version of Go that the program's go.mod names.
func (s *stage) language(ctx context.Context, dir string) (string, error) {
	return s.output(ctx, dir, "go", "list", "-m", "-f", "{{.GoVersion}}")
}

// elect runs the program against an etcd.
func (s *stage) elect(ctx context.Context, server, program string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	etcd := exec.CommandContext(ctx, server, "server", "--data-dir", filepath.Join(s.dir, "data"), "--listen", "127.0.0.1:0")
	etcd.Cancel = func() error { return etcd.Process.Signal(os.Interrupt) }
	out, err := etcd.StdoutPipe()
	if err != nil {
		return "", err
	}
	etcd.Stderr = os.Stderr
	if err := etcd.Start(); err != nil {
		return "", err
	}
	defer func() {
		cancel()
		_ = etcd.Wait() // it was interrupted
	}()
	endpoint, err := firstAddress(out)
	if err != nil {
		return "", err
	}
	go io.Copy(io.Discard, out)
	return s.output(ctx, s.dir, program, endpoint)
}

// firstAddress is the endpoint that "locked server" prints when it serves.
func firstAddress(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the server has ended: %w", err)
	}
	_, rest, _ := strings.Cut(line, "http://")
	endpoint, _, ok := strings.Cut(rest, ",")
	if !ok {
		return "", fmt.Errorf("the server says %q", line)
	}
	return endpoint, nil
}
