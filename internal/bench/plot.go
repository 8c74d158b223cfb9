package bench

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// plot is a line chart that becomes an SVG of a few kilobytes, without script.
type plot struct {
	title  string
	x, y   axis
	series []series
	bands  []band // shaded stretches of x
}

type axis struct {
	label string
	log   bool
	ticks []tick // nil: chosen
	show  func(float64) string
}

type tick struct {
	at   float64
	text string
}

type series struct {
	name   string
	points [][2]float64
}

type band struct {
	from, to float64
	text     string
}

const (
	plotWidth, plotHeight       = 640.0, 300.0
	plotLeft, plotRight         = 64.0, 14.0
	plotTop, plotBottom         = 34.0, 44.0
	plotColours                 = 6
	plotInnerWidth              = plotWidth - plotLeft - plotRight
	plotInnerHeight             = plotHeight - plotTop - plotBottom
	legendLine, legendCharacter = 16.0, 6.6
)

// scale maps values of an axis to 0..1.
type scale struct {
	low, high float64
	log       bool
}

func (s scale) at(v float64) float64 {
	if s.log {
		return (math.Log10(math.Max(v, s.low)) - math.Log10(s.low)) / (math.Log10(s.high) - math.Log10(s.low))
	}
	return (v - s.low) / (s.high - s.low)
}

// svg draws the plot.
func (p *plot) svg() template.HTML {
	xs, ys := p.scales()
	px := func(v float64) float64 { return plotLeft + xs.at(v)*plotInnerWidth }
	py := func(v float64) float64 { return plotTop + (1-ys.at(v))*plotInnerHeight }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s"><text class="t" x="%g" y="18">%s</text>`,
		plotWidth, plotHeight, html.EscapeString(p.title), plotLeft, html.EscapeString(p.title))
	for _, z := range p.bands {
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="%g" width="%.1f" height="%g"><title>%s</title></rect>`,
			px(z.from), plotTop, px(z.to)-px(z.from), plotInnerHeight, html.EscapeString(z.text))
	}
	for _, t := range p.y.chosen(ys) {
		fmt.Fprintf(&b, `<line class="g" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="l" x="%g" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, plotWidth-plotRight, py(t.at), py(t.at), plotLeft-6, py(t.at)+4, html.EscapeString(t.text))
	}
	for _, t := range p.x.chosen(xs) {
		fmt.Fprintf(&b, `<line class="g" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text class="l" x="%.1f" y="%g" text-anchor="middle">%s</text>`,
			px(t.at), px(t.at), plotTop, plotHeight-plotBottom, px(t.at), plotHeight-plotBottom+15, html.EscapeString(t.text))
	}
	fmt.Fprintf(&b, `<text class="l" x="%g" y="%g" text-anchor="middle">%s</text>`, plotLeft+plotInnerWidth/2, plotHeight-8, html.EscapeString(p.x.label))
	p.lines(&b, px, py)
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // every text above is escaped
}

func (p *plot) lines(b *strings.Builder, px, py func(float64) float64) {
	legend := plotWidth - plotRight
	for i := len(p.series) - 1; i >= 0; i-- {
		s := p.series[i]
		legend -= legendCharacter*float64(len(s.name)) + legendLine + 10
		fmt.Fprintf(b, `<line class="s%d" x1="%.1f" x2="%.1f" y1="14" y2="14"/><text class="l" x="%.1f" y="18">%s</text>`,
			i%plotColours, legend, legend+legendLine-4, legend+legendLine, html.EscapeString(s.name))
		fmt.Fprintf(b, `<polyline class="s%d" points="`, i%plotColours)
		for _, q := range s.points {
			fmt.Fprintf(b, "%.1f,%.1f ", px(q[0]), py(q[1]))
		}
		b.WriteString(`"/>`)
		if len(s.points) == 1 {
			fmt.Fprintf(b, `<circle class="s%d" cx="%.1f" cy="%.1f" r="3"/>`, i%plotColours, px(s.points[0][0]), py(s.points[0][1]))
		}
	}
}

// scales fit the data. A linear y axis begins at zero.
func (p *plot) scales() (xs, ys scale) {
	xs = scale{math.Inf(1), math.Inf(-1), p.x.log}
	ys = scale{math.Inf(1), math.Inf(-1), p.y.log}
	for _, s := range p.series {
		for _, q := range s.points {
			xs.low, xs.high = math.Min(xs.low, q[0]), math.Max(xs.high, q[0])
			ys.low, ys.high = math.Min(ys.low, q[1]), math.Max(ys.high, q[1])
		}
	}
	if p.x.ticks != nil {
		xs.low, xs.high = p.x.ticks[0].at, math.Max(xs.high, p.x.ticks[1].at)
	}
	if p.y.log {
		ys.low = math.Pow(10, math.Floor(math.Log10(math.Max(ys.low, 1e-9))))
		ys.high = math.Pow(10, math.Ceil(math.Log10(math.Max(ys.high, ys.low*10))))
	} else {
		ys.low, ys.high = 0, ys.high*1.05
	}
	if !(xs.high > xs.low) {
		xs.low, xs.high = xs.low-0.5, xs.low+0.5
	}
	if !(ys.high > ys.low) {
		ys.high = ys.low + 1
	}
	return xs, ys
}

// chosen returns the ticks: those given that are in range, decades of a logarithmic axis, or round numbers.
func (a axis) chosen(s scale) []tick {
	var all []tick
	show := a.show
	if show == nil {
		show = si
	}
	switch {
	case a.ticks != nil:
		for _, t := range a.ticks {
			if t.at <= s.high*1.0001 {
				all = append(all, t)
			}
		}
	case a.log:
		for v := s.low; v <= s.high*1.0001; v *= 10 {
			all = append(all, tick{v, show(v)})
		}
	default:
		step := math.Pow(10, math.Floor(math.Log10((s.high-s.low)/4)))
		for _, f := range []float64{1, 2, 5, 10} {
			if (s.high-s.low)/(step*f) <= 6 {
				step *= f
				break
			}
		}
		for v := math.Ceil(s.low/step) * step; v <= s.high; v += step {
			all = append(all, tick{v, show(v)})
		}
	}
	return all
}
