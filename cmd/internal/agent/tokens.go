package agent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// tokens are the bearer tokens of a file, each with the path prefixes that it is for:
//
//	# one a line
//	4fc7f0e4b8e04a2d9a16  /web/ /jobs/
//	a7d1c2c8e64d4a0f8b35  /
//
// The file is read again when it has changed.
type tokens struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	list    []token
}

type token struct {
	hash     holder
	prefixes []string
}

// minToken is how many characters a token has at least.
const minToken = 16

func readTokens(file string, log *slog.Logger) (*tokens, error) {
	t := &tokens{file: file, log: log}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// find looks a token up. It takes the same time for all that are wrong.
func (t *tokens) find(s string) (found token, ok bool) {
	hash := sha256.Sum256([]byte(s))
	for _, known := range t.current() {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			found, ok = known, true
		}
	}
	return found, ok
}

// current looks once a second whether the file has changed. One that cannot be read, or has mistakes, changes nothing.
func (t *tokens) current() []token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.looked) < time.Second {
		return t.list
	}
	t.looked = time.Now()
	info, err := os.Stat(t.file)
	if err == nil && !info.ModTime().Equal(t.changed) {
		err = t.read()
	}
	if err != nil {
		t.log.Error("token file not read again: going on with what it was", "file", t.file, "error", err)
	}
	return t.list
}

func (t *tokens) read() error {
	info, err := os.Stat(t.file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return err
	}
	list, err := parseTokens(text)
	if err != nil {
		return err
	}
	t.list, t.changed, t.looked = list, info.ModTime(), time.Now()
	return nil
}

func parseTokens(text []byte) ([]token, error) {
	var list []token
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words[0]) < minToken {
			return nil, fmt.Errorf("line %d: the token has %d characters, at least %d are required", n, len(words[0]), minToken)
		}
		if len(words) == 1 {
			return nil, fmt.Errorf("line %d: after the token there must be the path prefixes that it is for, such as /web/, or / for all", n)
		}
		for _, p := range words[1:] {
			if !strings.HasPrefix(p, "/") {
				return nil, fmt.Errorf("line %d: the path prefix %q must begin with a slash", n, p)
			}
		}
		list = append(list, token{sha256.Sum256([]byte(words[0])), words[1:]})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("there is no token in it")
	}
	return list, nil
}
