// Package span reads lengths of time as people write them, wherever the command and the agent take one.
package span

import (
	"errors"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// Want says what [Parse] takes.
const Want = "must be a time such as 10s or 1m30s, or a number of seconds"

// Parse reads a time as Go writes it, such as 1m30s, or a whole number of seconds.
func Parse(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(Want)
	}
	return d, nil
}

// Var adds a flag for a length of time.
func Var(f *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	f.Var((*flag)(p), name, usage)
}

type flag time.Duration

func (d *flag) String() string {
	if *d == 0 {
		return "0" // which pflag leaves out of the help, as no default
	}
	return time.Duration(*d).String()
}

// Type is what the flag's argument is called in help texts.
func (d *flag) Type() string { return "duration" }

// Set takes the flag's argument.
func (d *flag) Set(s string) error {
	v, err := Parse(s)
	if err == nil {
		*d = flag(v)
	}
	return err
}
