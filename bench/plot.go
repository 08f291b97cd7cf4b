package main

import (
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/samcday/locked/bench/systems"
)

var (
	ours   = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	others = color.RGBA{R: 0x77, G: 0x77, B: 0x77, A: 0xff}
	pale   = color.RGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
	least  = color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}
)

// plotted are the rows of a theme that there is a plot of: at least two systems have a figure there.
func (r *results) plotted(t *theme) (rows []row) {
	for _, row := range t.rows {
		if row.plot != "" && len(r.drawn(row)) > 1 {
			rows = append(rows, row)
		}
	}
	return rows
}

// drawn are the figures in the plot of a row.
func (r *results) drawn(row row) (figures []*figure) {
	for _, system := range systems.All {
		if f := r.find(row.key, system.Name); f != nil && len(f.Samples) > 0 && f.median() > 0 {
			figures = append(figures, f)
		}
	}
	return figures
}

// plots draws all, in the place of those that were there.
func (r *results) plots(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, t := range r.themes() {
		for _, row := range r.plotted(t) {
			if err := draws(filepath.Join(dir, row.key+".svg"), sized(row.plot, r.Quick), row, r.drawn(row)); err != nil {
				return err
			}
		}
	}
	return nil
}

// draws shows medians as dots, with a line from the tenth to the ninetieth percentile, and the floor of each system's
// store. The axis begins at zero, or is logarithmic if the systems are far apart.
func draws(file, title string, row row, figures []*figure) error {
	p := plot.New()
	p.Title.Text, p.Title.TextStyle.Font.Size, p.Title.Padding = title, 13, vg.Points(20) // for the legend
	low, high := extent(figures)
	if far := high/low > 10; far {
		p.X.Scale = plot.LogScale{}
		p.X.Min, p.X.Max = low/2, high*math.Pow(2*high/low, 0.17)
	} else {
		p.X.Min, p.X.Max = 0, high*1.15
	}
	p.X.Tick.Marker = ticks{row.unit, p.X.Min > 0}
	p.Y.Min, p.Y.Max = -0.6, float64(len(figures))-0.4
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	p.Y.Padding = vg.Points(32) // a browser may have only a wider font than the one that the labels were measured with
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Width = pale, 0
	p.Add(grid, newLegend(p, figures))
	names := make([]plot.Tick, len(figures))
	for i, f := range figures {
		y := float64(len(figures) - 1 - i)
		names[i] = plot.Tick{Value: y, Label: f.System}
		d := newDot(y, f)
		labels, err := plotter.NewLabels(plotter.XYLabels{
			XYs: plotter.XYs{{X: max(d.high, d.median, d.floor), Y: y}}, Labels: []string{row.unit.format(f.median())},
		})
		if err != nil {
			return err
		}
		labels.Offset = vg.Point{X: 9, Y: -4}
		p.Add(d, labels)
	}
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Label.Font.Size, p.X.Tick.Label.Font.Size = 12, 11
	return p.Save(20*vg.Centimeter, vg.Length(len(figures))*0.8*vg.Centimeter+2.8*vg.Centimeter, file)
}

// legend says below the title what is seen.
type legend struct {
	text  string
	style draw.TextStyle
}

func newLegend(p *plot.Plot, figures []*figure) legend {
	text := "dot: median"
	if slices.ContainsFunc(figures, func(f *figure) bool { return len(f.Samples) > 1 }) {
		text += "; line: p10 to p90"
	}
	if slices.ContainsFunc(figures, func(f *figure) bool { return len(f.Floor) > 0 }) {
		text += "; red: floor of its store"
	}
	if p.X.Min > 0 {
		text += "; log axis"
	}
	style := p.Title.TextStyle
	style.Font.Size, style.Color, style.XAlign, style.YAlign = 10, others, draw.XLeft, draw.YBottom
	return legend{text, style}
}

func (l legend) Plot(c draw.Canvas, _ *plot.Plot) {
	c.FillText(l.style, vg.Point{X: c.Min.X, Y: c.Max.Y + vg.Points(4)}, l.text)
}

// extent is from the least to the most that is shown.
func extent(figures []*figure) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, f := range figures {
		d := newDot(0, f)
		for _, v := range []float64{d.low, d.high, d.median, d.floor} {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	return low, high
}

// dot is a plotter of one system.
type dot struct {
	y, median, low, high, floor float64
	fill                        color.Color
}

func newDot(y float64, f *figure) *dot {
	d := &dot{y: y, median: f.median(), low: percentile(f.Samples, 10), high: percentile(f.Samples, 90), fill: others}
	if len(f.Floor) > 0 {
		d.floor = percentile(f.Floor, 50)
	}
	if f.System == systems.Locked {
		d.fill = ours
	}
	return d
}

func (d *dot) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	at := y(d.y)
	line := func(from, to vg.Length, width vg.Length, col color.Color) {
		c.StrokeLine2(draw.LineStyle{Color: col, Width: width}, from, at, to, at)
	}
	line(c.Min.X, x(d.median), vg.Points(1), pale)
	if d.low > 0 && d.high > d.low {
		line(x(d.low), x(d.high), vg.Points(3), d.fill)
	}
	c.DrawGlyph(draw.GlyphStyle{Color: d.fill, Radius: vg.Points(5.5), Shape: draw.CircleGlyph{}}, vg.Point{X: x(d.median), Y: at})
	if d.floor > 0 {
		half := vg.Points(8)
		c.StrokeLine2(draw.LineStyle{Color: least, Width: vg.Points(2)}, x(d.floor), at-half, x(d.floor), at+half)
	}
}

// ticks have the unit's names: steps from zero, or powers of ten, with the twos and fives where there are few of them.
type ticks struct {
	unit unit
	log  bool
}

func (t ticks) Ticks(low, high float64) (all []plot.Tick) {
	if !t.log {
		for _, tick := range (plot.DefaultTicks{}).Ticks(low, high) {
			if tick.Label != "" {
				tick.Label = t.label(tick.Value)
			}
			all = append(all, tick)
		}
		return all
	}
	few := math.Log10(high/low) < 2.2
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, power)
			if v < low || v > high {
				continue
			}
			tick := plot.Tick{Value: v}
			if edge := math.Pow(high/low, 0.07); (m == 1 || few) && v*edge < high { // it would be cut off there
				tick.Label = t.label(v)
			}
			all = append(all, tick)
		}
	}
	return all
}

func (t ticks) label(v float64) string {
	if v == 0 {
		return "0"
	}
	return t.unit.format(v)
}
