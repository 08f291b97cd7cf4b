package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// With -v what fails again and again is logged once a minute, for each path; all else is logged each time.
func TestSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := spare((&logging{format: text, verbose: true}).logger(&out)).With("of", "a test")
		for range 90 {
			for _, path := range []string{"/a", "/b"} {
				log.Warn("request failed", "path", path, "error", errors.New("connection refused"))
			}
			log.Debug("swept", "path", "/a", "error", error(nil))
			time.Sleep(time.Second)
		}
		if failed, swept := strings.Count(out.String(), "request failed"), strings.Count(out.String(), "swept"); failed != 4 || swept != 90 {
			t.Errorf("%d failures are logged, want 4; %d others, want 90", failed, swept)
		}
	})
}
