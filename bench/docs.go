package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func docsRaw(dir string) string { return filepath.Join(dir, "benchmarks", "results.json") }

// document writes the tables into performance.md, between the marks that are there, and the plots that they show.
func (r *results) document(dir string) error {
	file := filepath.Join(dir, "performance.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for name, print := range map[string]func(*bytes.Buffer) error{
		"machine": func(w *bytes.Buffer) error { _, err := fmt.Fprintln(w, r.Machine); return err },
		"tables":  func(w *bytes.Buffer) error { return r.report(w, style{markdown: true, plots: "benchmarks"}) },
	} {
		var part bytes.Buffer
		if err := print(&part); err != nil {
			return err
		}
		if text, err = between(text, name, part.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	return r.plots(filepath.Join(dir, "benchmarks"))
}

// between replaces what stands between two marks.
func between(text []byte, name string, part []byte) ([]byte, error) {
	begin, end := fmt.Appendf(nil, "<!-- begin %s -->\n", name), fmt.Appendf(nil, "<!-- end %s -->", name)
	before, rest, found := bytes.Cut(text, begin)
	_, after, closed := bytes.Cut(rest, end)
	if !found || !closed {
		return nil, fmt.Errorf("the marks of %q are not there", name)
	}
	return bytes.Join([][]byte{before, begin, part, end, after}, nil), nil
}
