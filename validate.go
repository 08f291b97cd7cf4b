package locked

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/samcday/locked/internal/election"
)

// Limits of what a node may be given.
const (
	MinTTL       = time.Second
	MaxTTL       = time.Hour
	MaxPathSize  = 1 << 10   // bytes
	MaxIDSize    = 1 << 8    // bytes
	MaxValueSize = 500 << 10 // bytes: it stands three times in one request, of which etcd takes 1.5 MiB by default
)

// NodeConfig says what a [Node] is. Only the value is required.
type NodeConfig struct {
	// ID names the node, by default the host's name with something random behind it. The candidates of an election need
	// different ones, as [Locker.Transfer] cannot tell two with the same ID apart. It must not contain ":::", end in ":",
	// or contain control characters.
	ID string
	// Value is what everybody is told of the node when it is elected, mostly how to reach it: any bytes but none, and at most
	// [MaxValueSize]. Who has nothing to tell puts the ID there.
	Value string
	// TTL is how long after the last renewal an elected node that died is replaced, from one second to an hour, rounded
	// up to whole seconds. By default it is the Locker's. etcd raises one that is shorter than one and a half of its
	// election timeouts, which is to 2s by default.
	TTL time.Duration
	// Grace is how long before the lease's deadline the node stops believing to be elected, by default a fifth of the
	// TTL and at most a third. It is the time that work has to end before somebody else may begin.
	Grace time.Duration
	// Check, if given, tells whether the node is fit to lead: it is called before the node enters the queue and then every
	// half TTL, with a context that lasts that long, and never twice at a time. When it fails, or does not return in time,
	// an elected node steps down and hands over, and one that waits leaves the queue; it enters again when Check passes.
	// It runs in a goroutine of its own, where a panic ends the process.
	Check func(ctx context.Context) error
}

// check fills in defaults and refuses what cannot work, naming the field.
func (c NodeConfig) check(path string, ttl time.Duration) (NodeConfig, error) {
	if err := CheckPath(path); err != nil {
		return c, err
	}
	if c.ID == "" {
		c.ID = randomID()
	}
	if err := checkName("ID", c.ID, MaxIDSize); err != nil {
		return c, err
	}
	if err := checkValue(c.Value); err != nil {
		return c, err
	}
	if c.TTL == 0 {
		c.TTL = ttl
	}
	var err error
	if c.TTL, err = checkTTL("TTL", c.TTL); err != nil {
		return c, err
	}
	if c.Grace == 0 {
		c.Grace = c.TTL / 5
	}
	if c.Grace < 0 || c.Grace > c.TTL/3 {
		return c, &ConfigError{"Grace", fmt.Sprint(c.Grace), fmt.Sprintf(
			"must be more than 0 and at most a third of the TTL, %v; 0 stands for a fifth", (c.TTL / 3).Round(time.Millisecond))}
	}
	return c, nil
}

// CheckPath refuses a path that no election can have, with a [ConfigError], as every call that takes one does: one that is empty,
// has more than [MaxPathSize] bytes, is not UTF-8, contains ":::" or control characters, or ends in ":".
func CheckPath(path string) error { return checkName("path", path, MaxPathSize) }

func checkName(field, s string, limit int) error {
	wrong := func(want string) error { return &ConfigError{field, abbreviate(s), want} }
	switch {
	case s == "":
		return wrong("must not be empty")
	case len(s) > limit:
		return wrong(fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), limit))
	case !utf8.ValidString(s):
		return wrong("must be valid UTF-8")
	case strings.Contains(s, election.Separator):
		return wrong(`must not contain ":::"`)
	case strings.HasSuffix(s, ":"):
		return wrong(`must not end in ":"`)
	case strings.ContainsFunc(s, unicode.IsControl):
		return wrong("must not contain control characters")
	}
	return nil
}

func checkValue(s string) error {
	switch {
	case s == "":
		return &ConfigError{"Value", `""`, "must not be empty: everybody is told it of the elected one, so put there how to reach it, or its ID again"}
	case len(s) > MaxValueSize:
		return &ConfigError{"Value", abbreviate(s), fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), MaxValueSize)}
	}
	return nil
}

// checkTTL rounds a TTL up to whole seconds, which is all that etcd knows.
func checkTTL(field string, ttl time.Duration) (time.Duration, error) {
	if ttl < MinTTL || ttl > MaxTTL {
		return 0, &ConfigError{field, fmt.Sprint(ttl), fmt.Sprintf("must be from %v to %v", MinTTL, MaxTTL)}
	}
	return (ttl + time.Second - 1).Truncate(time.Second), nil
}

// abbreviate quotes a string of a user, however long it is.
func abbreviate(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

func randomID() string {
	id := strings.ToLower(rand.Text()[:8])
	if host, err := os.Hostname(); err == nil && checkName("host", host, MaxIDSize-10) == nil {
		return host + "-" + id
	}
	return id
}
