package main

import (
	"fmt"
	"math"
)

// unit says how a number is printed.
type unit uint8

const (
	seconds unit = iota
	memory
	count
	rate
	percent
)

func (u unit) String() string {
	return [...]string{"s", "bytes", "", "per second", "% of a core"}[u]
}

func (u unit) format(v float64) string {
	switch u {
	case seconds:
		return duration(v)
	case memory:
		if math.Abs(v) >= 1<<20 {
			return fmt.Sprintf("%.1f MiB", v/(1<<20))
		}
		if math.Abs(v) < 1<<10 {
			return fmt.Sprintf("%.3g B", v)
		}
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	case percent:
		return fmt.Sprintf("%.1f %%", v)
	case rate:
		return fmt.Sprintf("%.0f/s", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

func duration(v float64) string {
	switch {
	case v < 1e-6:
		return fmt.Sprintf("%.0f ns", v*1e9)
	case v < 1e-3:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case v < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	default:
		return fmt.Sprintf("%.3g s", v)
	}
}

// ratio has about two digits: more are noise.
func ratio(v float64) string {
	switch {
	case v >= 10:
		return fmt.Sprintf("%.0f×", v)
	case v >= 1:
		return fmt.Sprintf("%.1f×", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f×", v)
	}
	return fmt.Sprintf("%.1g×", v)
}
