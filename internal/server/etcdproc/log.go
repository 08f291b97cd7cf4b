package etcdproc

import (
	"fmt"
	"os"
	"strings"
)

const (
	lastLines = 8
	lastBytes = 300 // of each
)

// Tail gives the end of a log, and says where all of it is: for errors.
func Tail(file string) string {
	log, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	lines = lines[max(0, len(lines)-lastLines):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), lastBytes)]
	}
	return fmt.Sprintf("its log %s ends:\n%s", file, strings.Join(lines, "\n"))
}
