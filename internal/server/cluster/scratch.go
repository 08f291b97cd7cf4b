//go:build linux

package cluster

import (
	"errors"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// Scratch is a temporary directory. A process that is killed leaves it behind, and the next one that wants such a directory
// removes it.
type Scratch struct {
	Path string
	lock *fileutil.LockedFile
}

const (
	scratchLock  = "in-use"
	scratchPlace = scratchLock + ".new"
)

// NewScratch makes a directory with that prefix, and removes those that nobody uses any more.
func NewScratch(prefix string) (*Scratch, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		removeAbandoned(dir)
	}
	path, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, err
	}
	s := &Scratch{Path: path}
	// The file gets its name when it is locked: so nobody finds it there before, and takes the directory for abandoned.
	place := filepath.Join(path, scratchPlace)
	if s.lock, err = fileutil.TryLockFile(place, os.O_CREATE|os.O_RDWR, fileutil.PrivateFileMode); err == nil {
		err = os.Rename(place, filepath.Join(path, scratchLock))
	}
	if err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// removeAbandoned removes a directory whose lock is there and nobody holds. What cannot be removed stays: it is not ours.
func removeAbandoned(dir string) {
	lock, err := fileutil.TryLockFile(filepath.Join(dir, scratchLock), os.O_RDWR, fileutil.PrivateFileMode)
	if err != nil {
		return
	}
	_ = os.RemoveAll(dir)
	_ = lock.Close()
}

// Remove removes the directory and all that is in it.
func (s *Scratch) Remove() error {
	err := os.RemoveAll(s.Path)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
