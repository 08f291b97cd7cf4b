package etcdserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

var errInUse = errors.New("in use by another server")

// directory is a data directory that this server has for itself.
type directory struct {
	path      string
	temporary bool
	alone     bool // the only member of its cluster
	lock      *fileutil.LockedFile
}

// openDirectory makes the directory, if need be, and locks it. Without the
// lock etcd would wait for the other server's database, without end.
func openDirectory(path string, alone bool) (*directory, error) {
	d := &directory{path: path, temporary: path == "", alone: alone}
	if err := d.open(); err != nil {
		d.close()
		return nil, fmt.Errorf("data directory %q: %w", d.path, err)
	}
	return d, nil
}

func (d *directory) open() (err error) {
	if d.temporary {
		d.path, err = os.MkdirTemp("", "locked-etcd-")
	} else {
		err = os.MkdirAll(d.path, fileutil.PrivateDirMode)
	}
	if err != nil {
		return err
	}
	name := filepath.Join(d.path, "locked.lock")
	d.lock, err = fileutil.TryLockFile(name, os.O_RDWR|os.O_CREATE, fileutil.PrivateFileMode)
	var plain *os.PathError
	switch {
	case errors.Is(err, fileutil.ErrLocked):
		return errInUse
	case errors.As(err, &plain):
		return plain
	case err != nil:
		return err
	}
	return d.prepare()
}

// prepare sees to a first start that was cut short. Before etcd is ready its
// data can be such that no etcd will ever be ready with them: there is a log,
// but the cluster's one member is not in it yet. So a mark stays in a new
// directory until the first request is about to be served, and data with the
// mark are set aside. Where there are other members these have the log too, and
// a vote that was given must not be forgotten: nothing is set aside.
func (d *directory) prepare() error {
	if d.temporary {
		return nil
	}
	member := filepath.Join(d.path, "member")
	marked := d.alone && fileutil.Exist(d.mark())
	err := probe(filepath.Join(member, "snap", "db"))
	if errors.Is(err, errInUse) || err != nil && !marked {
		return err
	}
	if !d.alone {
		return nil
	}
	if fileutil.Exist(member) {
		if !marked {
			return nil
		}
		if err := setAside(member); err != nil {
			return err
		}
	}
	if err := os.WriteFile(d.mark(), nil, fileutil.PrivateFileMode); err != nil {
		return err
	}
	return d.sync()
}

func setAside(member string) error {
	aside := member + ".unfinished"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	return os.Rename(member, aside)
}

// complete takes the mark away. A mark that came back after a power failure
// would cost data, hence the sync.
func (d *directory) complete() error {
	err := os.Remove(d.mark())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, d.sync())
}

func (d *directory) mark() string { return filepath.Join(d.path, "locked.unfinished") }

func (d *directory) sync() error {
	f, err := fileutil.OpenDir(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// probe finds out whether etcd will be able to open its database: it may be
// held by an etcd that does not know our lock, or be damaged.
func probe(db string) error {
	if info, err := os.Stat(db); errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil // etcd will make it
	}
	b, err := bolt.Open(db, 0, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return errInUse
	}
	if err != nil {
		return fmt.Errorf("database %q: %w", db, err)
	}
	return b.Close()
}

// close gives the directory up. The lock file stays: removing it would let two
// others each lock a file of that name.
func (d *directory) close() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close()
	}
	if d.temporary && d.path != "" {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}
