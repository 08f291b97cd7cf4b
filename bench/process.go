package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a process knows of itself.

func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func residentBytes() float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if fields := bytes.Fields(statm); err == nil && len(fields) > 1 {
		pages, _ := strconv.Atoi(string(fields[1]))
		return float64(pages * os.Getpagesize())
	}
	return 0
}

// processFigures are those of this process, after garbage was collected.
func processFigures() map[string]float64 {
	runtime.GC()
	runtime.GC() // finalizers and pools take two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]float64{
		"memory": float64(m.HeapAlloc + m.StackInuse), "heap": float64(m.HeapAlloc), "stack": float64(m.StackInuse),
		"rss": residentBytes(), "goroutines": float64(runtime.NumGoroutine()), "cpu": cpuSeconds(),
	}
}

// machine says what the figures were taken on.
func machine(quick bool) string {
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(info), "model name"); ok {
			line, _, _ := strings.Cut(after, "\n")
			cpu = strings.Trim(line, "\t: ")
		}
	}
	how := "full run"
	if quick {
		how = "quick run"
	}
	return fmt.Sprintf("%s, %d cores (%s), %s/%s, %s, %s", how, runtime.NumCPU(), cpu, runtime.GOOS, runtime.GOARCH,
		runtime.Version(), time.Now().UTC().Format(time.DateOnly))
}
