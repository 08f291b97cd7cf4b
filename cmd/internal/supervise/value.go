package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/guard"
)

// Source gives a value. It is asked again and again.
type Source func(ctx context.Context) (string, error)

// SourcePatience is how long a source may take.
const SourcePatience = 10 * time.Second

// maxFile is the size up to which a file is read. What a value may have is less, which the library sees to.
const maxFile = 1 << 20

// File is a source that reads a file, without the newlines at its end.
func File(name string) Source {
	return func(context.Context) (string, error) {
		if info, err := os.Stat(name); err != nil {
			return "", err
		} else if !info.Mode().IsRegular() { // reading it might not end
			return "", fmt.Errorf("%s is not a file: take --value-command", name)
		} else if info.Size() > maxFile {
			return "", fmt.Errorf("%s has %d bytes: that is no value", name, info.Size())
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if data = bytes.TrimRight(data, "\r\n"); len(data) == 0 {
			return "", fmt.Errorf("%s is empty", name)
		}
		return string(data), nil
	}
}

// Output is a source that runs a shell command and takes what it prints, without the newlines at its end.
func Output(command string, env []string) Source {
	return func(ctx context.Context) (string, error) {
		out, err := shell(ctx, command, env)
		if out = bytes.TrimRight(out, "\r\n"); err == nil && len(out) == 0 {
			err = errors.New("it printed nothing")
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", command, err)
		}
		return string(out), nil
	}
}

// followValue sets the node's value to what the source gives: every second, and when it is told to look. As long as the
// source fails the value stays.
func (r *Run) followValue(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.reread:
		case <-tick.C:
		}
		err := r.rereadValue(ctx)
		if err != nil && err.Error() != failed && ctx.Err() == nil {
			failed = err.Error()
			r.cfg.Log.Warn("the value stays as it is", "path", r.cfg.Path, "error", err)
		} else if err == nil {
			failed = ""
		}
	}
}

func (r *Run) rereadValue(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, SourcePatience)
	defer cancel()
	defer guard.Reap()
	value, err := r.cfg.Value(limited)
	if err != nil || value == r.node.LocalValue() {
		return err
	}
	r.cfg.Log.Info("new value", "path", r.cfg.Path, "value", value)
	err = r.node.SetValue(ctx, value)
	if errors.Is(err, locked.ErrClosed) || errors.Is(err, locked.ErrStopped) {
		return nil
	}
	return err
}
