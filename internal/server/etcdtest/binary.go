package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"github.com/samcday/locked/internal/server/etcdproc"
)

var versionForm = regexp.MustCompile(`^3\.\d+\.\d+$`)

// Binary gives the path of an etcd of a release, and makes it first if it was not made before: from source, or for 3.4, which
// is no such Go module, from Debian's package. It is kept in the user's cache. Any number of processes may want it at once.
func Binary(ctx context.Context, version string) (path string, err error) {
	if !versionForm.MatchString(version) {
		return "", fmt.Errorf("etcd %q: no release is called so; 3.5.23 is one", version)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "locked", "etcd", version)
	path = filepath.Join(dir, "etcd")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if fileutil.Exist(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if fileutil.Exist(path) {
		return path, nil // somebody else has made it
	}
	if err := makeBinary(ctx, version, path); err != nil {
		return "", fmt.Errorf("etcd %s: %w", version, err)
	}
	return path, nil
}

// lockFile waits for a lock, which ends with this process at the latest.
func lockFile(ctx context.Context, name string) (*fileutil.LockedFile, error) {
	for {
		lock, err := fileutil.TryLockFile(name, os.O_CREATE|os.O_RDWR, fileutil.PrivateFileMode)
		if !errors.Is(err, fileutil.ErrLocked) {
			return lock, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// makeBinary makes it elsewhere, and puts it in its place when it has been seen to be what it should.
func makeBinary(ctx context.Context, version, path string) error {
	scratch, err := os.MkdirTemp("", "locked-build-etcd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(filepath.Dir(path), "new-"+filepath.Base(path))
	if strings.HasPrefix(version, "3.4.") {
		err = unpack(ctx, version, scratch, made)
	} else {
		err = build(ctx, version, scratch, made)
	}
	if err != nil {
		return err
	}
	program, err := etcdproc.Look(ctx, made)
	if err != nil {
		return err
	}
	if program.Version != version {
		return fmt.Errorf("what was made says that it is %s", program.Version)
	}
	return os.Rename(made, path)
}
