package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Places in the chart, in pixels.
const (
	barsWidth = 860.0
	barsLeft  = 150.0
	barsRight = 60.0
	barsTop   = 56.0
	barHeight = 11.0
	groupGap  = 12.0
)

var barColours = map[string]string{
	"floor": "#8c959f", "millrace": "#0969da", "mosquitto": "#bc4c00", "nats": "#8250df", "mochi": "#1a7f37", "rabbitmq": "#bf3989",
}

// bars draws the rows of one unit, one bar per broker, on a logarithmic axis. It is readable on light and dark pages.
func (r *report) bars(title, unit string) string {
	var rows []*row
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range r.rows {
		if x.unitOf() != unit {
			continue
		}
		rows = append(rows, x)
		for _, p := range r.brokers {
			if v := x.shown(p); v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if len(rows) == 0 || high < low {
		return `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high*1.01)))
	at := func(v float64) float64 {
		return barsLeft + (barsWidth-barsLeft-barsRight)*math.Log10(v/low)/math.Log10(high/low)
	}
	group := barHeight*float64(len(r.brokers)) + groupGap
	height := barsTop + group*float64(len(rows)) + 8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="system-ui, sans-serif" font-size="11" fill="#6e7781">`, barsWidth, height)
	fmt.Fprintf(&b, `<text x="8" y="16" font-size="13" font-weight="600">%s</text>`, html.EscapeString(title))
	x := 8.0
	for _, p := range r.brokers {
		fmt.Fprintf(&b, `<rect x="%g" y="26" width="10" height="10" fill="%s"/><text x="%g" y="35">%s</text>`, x, barColours[p], x+14, p)
		x += 24 + 7*float64(len(p))
	}
	for v := low; v <= high*1.001; v *= 10 {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#8c959f" stroke-opacity=".35"/><text x="%.1f" y="%g" text-anchor="middle">%g</text>`,
			at(v), at(v), barsTop-6, height-4, at(v), barsTop-9, v)
	}
	for i, row := range rows {
		y := barsTop + group*float64(i)
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, barsLeft-8, y+group/2, html.EscapeString(row.Name))
		for j, p := range r.brokers {
			if v := row.shown(p); v > 0 {
				top := y + barHeight*float64(j)
				fmt.Fprintf(&b, `<rect x="%g" y="%.1f" width="%.1f" height="%g" fill="%s"/><text x="%.1f" y="%.1f" font-size="9">%s</text>`,
					barsLeft, top, max(1, at(v)-barsLeft), barHeight-2, barColours[p], max(barsLeft+1, at(v))+4, top+8, number(v))
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// shown is the number that a cell shows; 0 for none.
func (x *row) shown(broker string) float64 {
	v := slices.Clone(x.Values[broker])
	if len(v) == 0 {
		return 0
	}
	by := 1.0
	if x.ratio {
		if by = median(x.Values["floor"]); math.IsNaN(by) {
			by = 1
		}
	}
	return median(v) / by
}
