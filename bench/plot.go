package main

import (
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/samcday/locked/bench/systems"
)

var (
	ours   = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	others = color.RGBA{R: 0x9a, G: 0x9a, B: 0x9a, A: 0xff}
)

// plots draws a comparison for each row that at least two systems have a figure in.
func (r *results) plots(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range scenarios {
		for _, row := range s.rows {
			var figures []*figure
			for _, system := range systems.All {
				if f := r.find(row.key, system.Name); f != nil && len(f.Samples) > 0 && f.median() > 0 {
					figures = append(figures, f)
				}
			}
			if len(figures) < 2 {
				continue
			}
			if err := draws(filepath.Join(dir, row.key+".svg"), row.called(r.Quick), row.unit, figures); err != nil {
				return err
			}
		}
	}
	return nil
}

// draws shows the medians as bars from the left, with a line from the tenth to the ninetieth percentile, on a logarithmic
// axis: the systems are orders of magnitude apart.
func draws(file, title string, unit unit, figures []*figure) error {
	p := plot.New()
	p.Title.TextStyle.Font.Size = 14
	title = strings.TrimPrefix(title, "… ")
	p.Title.Text = strings.ToUpper(title[:1]) + title[1:]
	p.Title.Padding = vg.Points(8)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticks{unit}
	p.X.Min, p.X.Max = extent(figures)
	p.Y.Min, p.Y.Max = -0.6, float64(len(figures))-0.4
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	p.Y.Padding = vg.Points(32) // a browser may have only a wider font than the one that the labels were measured with
	p.Add(plotter.NewGrid())
	names := make([]plot.Tick, len(figures))
	for i, f := range figures {
		y := float64(len(figures) - 1 - i)
		names[i] = plot.Tick{Value: y, Label: f.System}
		bar := &bar{y: y, from: p.X.Min, median: f.median(), low: percentile(f.Samples, 10), high: percentile(f.Samples, 90), fill: others}
		if f.System == systems.Locked {
			bar.fill = ours
		}
		labels, err := plotter.NewLabels(plotter.XYLabels{
			XYs: plotter.XYs{{X: bar.high, Y: y}}, Labels: []string{unit.format(f.median())},
		})
		if err != nil {
			return err
		}
		labels.Offset = vg.Point{X: 6, Y: -4}
		p.Add(bar, labels)
	}
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Label.Font.Size, p.X.Tick.Label.Font.Size = 12, 11
	return p.Save(18*vg.Centimeter, vg.Length(len(figures))*0.9*vg.Centimeter+2.4*vg.Centimeter, file)
}

// extent is the range of the axis: some way to the left of the least, and room for a label to the right of the most.
func extent(figures []*figure) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, f := range figures {
		least := percentile(f.Samples, 10)
		if least <= 0 {
			least = f.median()
		}
		low, high = min(low, least), max(high, percentile(f.Samples, 90))
	}
	low, high = low/2, high*1.2
	return low, high * math.Pow(high/low, 0.15)
}

// bar is a plotter of one system.
type bar struct {
	y, from, median, low, high float64
	fill                       color.Color
}

func (b *bar) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	half := vg.Points(8)
	c.FillPolygon(b.fill, []vg.Point{
		{X: x(b.from), Y: y(b.y) - half}, {X: x(b.median), Y: y(b.y) - half}, {X: x(b.median), Y: y(b.y) + half}, {X: x(b.from), Y: y(b.y) + half},
	})
	if b.low > 0 && b.high > b.low {
		style := draw.LineStyle{Color: color.Black, Width: vg.Points(1.2)}
		c.StrokeLine2(style, x(b.low), y(b.y), x(b.high), y(b.y))
		for _, end := range []float64{b.low, b.high} {
			c.StrokeLine2(style, x(end), y(b.y)-half/2, x(end), y(b.y)+half/2)
		}
	}
}

// ticks are powers of ten with the unit's names, and the twos and fives between where there are few of them.
type ticks struct{ unit unit }

func (t ticks) Ticks(low, high float64) (all []plot.Tick) {
	few := math.Log10(high/low) < 3
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, power)
			if v < low || v > high {
				continue
			}
			tick := plot.Tick{Value: v}
			if edge := math.Pow(high/low, 0.07); (m == 1 || few) && v*edge < high { // it would be cut off there
				tick.Label = t.unit.format(v)
			}
			all = append(all, tick)
		}
	}
	return all
}
