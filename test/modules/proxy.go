package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const library = "github.com/samcday/locked"

// version is what the modules require of each other.
const version = "v0.1.0"

// published are the modules that others may want, by their folders.
var published = []string{"", "metrics", "cmd", "internal/server"}

// makeProxy writes the modules of a commit where the go command looks for them: see "go help goproxy".
func makeProxy(ctx context.Context, proxy, repository, revision string) error {
	for _, dir := range published {
		path := strings.TrimSuffix(library+"/"+dir, "/")
		into := filepath.Join(proxy, filepath.FromSlash(path), "@v")
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		var archive bytes.Buffer
		if err := modzip.CreateFromVCS(&archive, module.Version{Path: path, Version: version}, repository, revision, dir); err != nil {
			return fmt.Errorf("%s at %s: %w", path, revision, err)
		}
		mod, err := exec.CommandContext(ctx, "git", "-C", repository, "show", revision+":"+filepath.ToSlash(filepath.Join(dir, "go.mod"))).Output()
		if err != nil {
			return fmt.Errorf("go.mod of %s at %s: %w", path, revision, err)
		}
		if bytes.Contains(mod, []byte("\nreplace ")) {
			return fmt.Errorf("%s at %s: its go.mod has a replace, which go install refuses", path, revision)
		}
		for name, content := range map[string][]byte{
			version + ".zip": archive.Bytes(), version + ".mod": mod, "list": []byte(version + "\n"),
			version + ".info": fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version),
		} {
			if err := os.WriteFile(filepath.Join(into, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
