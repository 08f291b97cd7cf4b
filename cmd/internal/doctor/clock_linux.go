package doctor

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// mostDrift is how much two clocks may differ in rate.
const mostDrift = 0.02

// clockRate looks at how the kernel corrects the rate of its clock: what is renewed in time is a matter of rates alone.
func clockRate() Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Finding{"clock", "warn", "its rate cannot be read: " + err.Error(), ""}
	}
	// Tick is the length of a hundredth of a second in microseconds, Freq is in millionths shifted by 16 bits.
	rate := float64(t.Tick)/1e4*(1+float64(t.Freq)/65536/1e6) - 1
	f := Finding{"clock", "ok", fmt.Sprintf("the system corrects its rate by %+.1f ppm; clocks may differ in rate by %.0f %%", rate*1e6, mostDrift*100), ""}
	switch {
	case math.Abs(rate) > mostDrift/2:
		f.Status, f.Fix = "fail", "something sets this clock very fast or slow: see adjtimex(8) and the time service"
	case state == unix.TIME_ERROR:
		f.Status, f.Detail = "ok", f.Detail+"; no time service keeps it, which elections do not need"
	}
	return f
}
