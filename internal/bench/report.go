package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"si": si, "ms": ms, "mega": mega, "ns": func(v float64) string { return ms(int64(v)) },
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
	"gib":  func(n int64) string { return fmt.Sprintf("%.0f GiB", math.Round(float64(n)/(1<<30))) },
}).Parse(reportPage))

// WriteReport writes index.html and results.json into dir. The page needs nothing else: no script, no network.
func WriteReport(dir string, results ...*Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := os.Create(filepath.Join(dir, "results.json"))
	if err != nil {
		return err
	}
	defer data.Close()
	if err := WriteResults(data, results...); err != nil {
		return err
	}
	var page strings.Builder
	if err := reportTemplate.Execute(&page, reportOf(results)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(page.String()), 0o644); err != nil {
		return err
	}
	return data.Close()
}

// report is what the page shows.
type report struct {
	Title    string
	About    string
	Machine  Machine
	Sections []section
}

// section is one result.
type section struct {
	*Result
	Name   string
	Stages []stageSection
	Clean  bool
}

type stageSection struct {
	*StageResult
	Rate  float64
	Plots []template.HTML
}

func reportOf(results []*Result) report {
	r := report{Title: results[0].Scenario.Name, About: results[0].Scenario.About, Machine: results[0].Machine}
	for i, one := range results {
		s := section{Result: one, Name: one.title(), Clean: len(one.Problems) == 0}
		if len(results) > 1 {
			s.Name = fmt.Sprintf("%s, run %d", s.Name, i+1)
		}
		for j := range one.Stages {
			st := &one.Stages[j]
			s.Stages = append(s.Stages, stageSection{st, st.Rate(), st.plots()})
		}
		r.Sections = append(r.Sections, s)
	}
	return r
}

// percentileTicks are places on the axis of percentiles, which is the logarithm of what is above.
var percentileTicks = []tick{{0, "0"}, {1, "90 %"}, {2, "99 %"}, {3, "99.9 %"}, {4, "99.99 %"}, {5, "99.999 %"}}

// milliseconds on an axis.
func milliseconds(v float64) string { return ms(int64(v * 1e6)) }

func (s *StageResult) plots() []template.HTML {
	var all []template.HTML
	byPercentile := plot{
		title: "latency by percentile", x: axis{label: "percentile", ticks: percentileTicks}, y: axis{log: true, show: milliseconds},
	}
	for _, l := range s.Summaries() {
		if l.Histogram.Histogram == nil {
			continue
		}
		byPercentile.series = append(byPercentile.series, series{l.Name, percentiles(l.Histogram)})
	}
	if len(byPercentile.series) > 0 {
		all = append(all, byPercentile.svg())
	}
	if len(s.Series) < 2 {
		return all
	}
	over := func(title string, y axis, of ...overTime) {
		p := plot{title: title, x: axis{label: "seconds"}, y: y, bands: s.unmeasured()}
		for _, o := range of {
			line := series{name: o.name}
			some := false
			for _, q := range s.Series {
				v := o.of(q)
				some = some || v > 0
				line.points = append(line.points, [2]float64{q.At, v})
			}
			if some {
				p.series = append(p.series, line)
			}
		}
		if len(p.series) > 0 {
			all = append(all, p.svg())
		}
	}
	over("rate per second", axis{},
		overTime{"received", func(q Point) float64 { return q.Received }}, overTime{"sent", func(q Point) float64 { return q.Sent }},
		overTime{"acknowledged", func(q Point) float64 { return q.Acked }}, overTime{"connected", func(q Point) float64 { return q.Opened }})
	over("latency", axis{show: milliseconds},
		overTime{"p50", func(q Point) float64 { return float64(q.P50) / 1e6 }}, overTime{"p99", func(q Point) float64 { return float64(q.P99) / 1e6 }},
		overTime{"max", func(q Point) float64 { return float64(q.Max) / 1e6 }})
	over("connections", axis{}, overTime{"open", func(q Point) float64 { return float64(q.Connected) }})
	over("broker: processor cores", axis{show: func(v float64) string { return fmt.Sprintf("%.2g", v) }}, overTime{"cores", func(q Point) float64 { return q.Cores }})
	over("broker: resident memory, MB", axis{}, overTime{"RSS", func(q Point) float64 { return float64(q.RSS) / 1e6 }})
	return all
}

// overTime is one line of a plot over time.
type overTime struct {
	name string
	of   func(Point) float64
}

// unmeasured returns the warm-up and the drain, which the figures leave out.
func (s *StageResult) unmeasured() []band {
	var all []band
	for _, q := range s.Series {
		if q.Measured {
			continue
		}
		from, to := q.At-q.Seconds/2, q.At+q.Seconds/2
		if n := len(all); n > 0 && from-all[n-1].to < 0.1 {
			all[n-1].to = to
			continue
		}
		all = append(all, band{from, to, "not measured: warm-up or drain"})
	}
	first, last := s.Series[0].At, s.Series[len(s.Series)-1].At
	for i := range all {
		all[i].from, all[i].to = min(max(all[i].from, first), last), min(max(all[i].to, first), last)
	}
	return all
}

// percentiles returns the points of the curve: x is the number of nines, y milliseconds.
func percentiles(h histogram) [][2]float64 {
	var points [][2]float64
	nines := math.Min(5, math.Log10(float64(h.TotalCount())))
	for x := 0.0; x <= nines; x += 0.05 {
		v := h.ValueAtPercentile(100 * (1 - math.Pow(10, -x)))
		points = append(points, [2]float64{x, math.Max(float64(v), 1000) / 1e6})
	}
	return points
}
