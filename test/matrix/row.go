package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one thing that is done to one release, and what came of it.
type row struct {
	version, what string
	run           func(ctx context.Context) (result string, ok bool)

	result string
	failed bool
	took   time.Duration
}

// do says on standard error how it goes.
func (r *row) do(ctx context.Context) {
	begin := time.Now()
	result, ok := r.run(ctx)
	r.result, r.failed, r.took = result, !ok, time.Since(begin)
	if ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "etcd %s, %s: %s (%.0f s)\n", r.version, r.what, r.result, r.took.Seconds())
	}
}

func show(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ETCD\tWHAT\tSECONDS\tRESULT")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\n", r.version, r.what, r.took.Seconds(), r.result)
	}
	_ = t.Flush() // nobody reads it, then
}

var (
	testEnd = regexp.MustCompile(`^(\s*)--- (PASS|FAIL|SKIP): (\S+)`)
	hanging = regexp.MustCompile(`^\t\t(Test\S+|Example\S+) \(`) // as a test says that has timed out
)

const failure = "FAILED"

// summary reads the output of tests: how many of them did what, and the names of those that failed or hung. A test with parts
// that failed is named by these.
func summary(output []byte) string {
	var passed, skipped int
	var failed []string
	for s := bufio.NewScanner(bytes.NewReader(output)); s.Scan(); {
		if m := hanging.FindStringSubmatch(s.Text()); m != nil {
			failed = append(failed, m[1]+" (hangs)")
		}
		m := testEnd.FindStringSubmatch(s.Text())
		switch {
		case m == nil:
		case m[2] == "FAIL":
			// A test is named before its parts.
			whole, _, isPart := strings.Cut(m[3], "/")
			if isPart {
				failed = slices.DeleteFunc(failed, func(name string) bool { return name == whole })
			}
			failed = append(failed, m[3])
		case m[1] != "": // a part
		case m[2] == "PASS":
			passed++
		default:
			skipped++
		}
	}
	text := fmt.Sprintf("%d passed, %d skipped", passed, skipped)
	if len(failed) > 0 {
		text = failure + ": " + strings.Join(failed, ", ") + "; " + text
	}
	return text
}
