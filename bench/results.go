package main

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"

	"github.com/montanaflynn/stats"
)

// results are the figures of a run.
type results struct {
	Machine string    `json:"machine"`
	Quick   bool      `json:"quick"`
	Figures []*figure `json:"figures"`
}

// figure is what was measured of one system in one row.
type figure struct {
	Row     string    `json:"row"`
	System  string    `json:"system"`
	Samples []float64 `json:"samples,omitempty"`
	Floor   []float64 `json:"floor,omitempty"` // of its store, taken in turns with the samples
	Note    string    `json:"note,omitempty"`  // why there are no samples
	Machine string    `json:"machine"`
}

// set puts a figure in the place of an earlier one. Numbers are kept to five digits.
func (r *results) set(row row, system string, samples, floor []float64, note string) {
	f := &figure{Row: row.key, System: system, Samples: digits(samples), Floor: digits(floor), Note: note, Machine: r.Machine}
	r.remove(row.key, system)
	r.Figures = append(r.Figures, f)
}

func (r *results) remove(row, system string) {
	r.Figures = slices.DeleteFunc(r.Figures, func(f *figure) bool { return f.Row == row && f.System == system })
}

func digits(in []float64) []float64 {
	out := make([]float64, len(in))
	for i, v := range in {
		if out[i] = v; v != 0 {
			scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
			out[i] = math.Round(v*scale) / scale
		}
	}
	return out
}

func (r *results) find(row, system string) *figure {
	i := slices.IndexFunc(r.Figures, func(f *figure) bool { return f.Row == row && f.System == system })
	if i < 0 {
		return nil
	}
	return r.Figures[i]
}

// merge takes over the figures of an earlier run that this one does not have.
func (r *results) merge(before *results) {
	if before == nil {
		return
	}
	for _, f := range before.Figures {
		if r.find(f.Row, f.System) == nil {
			r.Figures = append(r.Figures, f)
		}
	}
}

func (f *figure) median() float64 { return percentile(f.Samples, 50) }

// floors is how many times its store's floor the figure is, 0 if there is none.
func (f *figure) floors() float64 {
	if len(f.Floor) == 0 || len(f.Samples) == 0 {
		return 0
	}
	return f.median() / percentile(f.Floor, 50)
}

// percentile of no samples is NaN.
func percentile(samples []float64, p float64) float64 {
	if len(samples) == 1 {
		return samples[0]
	}
	v, err := stats.PercentileNearestRank(samples, p)
	if err != nil {
		return math.NaN()
	}
	return v
}

func load(file string) (*results, error) {
	if file == "" {
		return nil, errors.New("no file")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r results
	return &r, json.Unmarshal(data, &r)
}

func (r *results) save(file string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
