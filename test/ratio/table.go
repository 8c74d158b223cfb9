package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/millrace-mq/millrace/internal/bench"
)

// table collects results: one row per figure, one cell per broker.
type table struct {
	brokers []string
	rows    []*row
}

type row struct {
	figure
	Name   string               `json:"name"`
	About  string               `json:"about"`
	Unit   string               `json:"unit"`
	Target float64              `json:"target,omitempty"`
	Values map[string][]float64 `json:"values"` // by broker; runs that did the work
	Failed map[string][]string  `json:"failed"` // why the others did not
}

func (t *table) record(w workload, broker string, r *bench.Result) {
	for _, f := range w.figures {
		i := slices.IndexFunc(t.rows, func(x *row) bool { return x.Name == f.name })
		if i < 0 {
			i = len(t.rows)
			t.rows = append(t.rows, &row{f, f.name, w.scenario.About, f.unit, f.target, map[string][]float64{}, map[string][]string{}})
		}
		x := t.rows[i]
		if len(r.Problems) > 0 {
			x.Failed[broker] = append(x.Failed[broker], r.Problems[0])
		} else {
			x.Values[broker] = append(x.Values[broker], f.of(r))
		}
	}
}

// line is one run in one line.
func line(w workload, r *bench.Result) string {
	var b strings.Builder
	for _, f := range w.figures {
		fmt.Fprintf(&b, "%s %s %s  ", f.name, number(f.of(r)), f.unit)
	}
	s := r.Stages[len(r.Stages)-1]
	fmt.Fprintf(&b, "%s %s/s, tool %s CPU-s/M, p99 %.2f ms", number(s.Rate()), s.Unit, number(s.ToolPerM), float64(s.Latency.P99)/1e6)
	if len(r.Problems) > 0 {
		fmt.Fprintf(&b, "  NO FIGURE: %s", strings.Join(r.Problems, "; "))
	}
	return b.String()
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// number with three digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case a >= 1e5:
		return fmt.Sprintf("%.0fK", v/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// cell shows a broker's median with its range, as a multiple of the floor where the row is one.
func (x *row) cell(broker string) string {
	v := x.Values[broker]
	if len(v) == 0 {
		if n := len(x.Failed[broker]); n > 0 {
			return "no figure"
		}
		return "-"
	}
	by := 1.0
	if x.ratio && broker != "floor" {
		by = median(x.Values["floor"])
		if math.IsNaN(by) {
			by = 1
		}
	}
	s := number(median(v) / by)
	if len(v) > 1 {
		s += fmt.Sprintf(" (%s-%s)", number(slices.Min(v)/by), number(slices.Max(v)/by))
	}
	if n := len(x.Failed[broker]); n > 0 {
		s += fmt.Sprintf(" %d failed", n)
	}
	return s
}

// higher says whether more is better.
func (x *row) higher() bool { return x.Unit == "/s" }

func (x *row) unitOf() string {
	if x.ratio {
		return "x floor"
	}
	return x.Unit
}

func print(t *table, o options) error {
	var b strings.Builder
	switch o.format {
	case "json":
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", " ")
		return e.Encode(t.rows)
	case "markdown":
		t.write(&b, "| %s |\n", " | ", true)
	default:
		t.write(&b, "%s\n", "  ", false)
	}
	for _, l := range failures(t) {
		fmt.Fprintln(&b, "no figure:", l)
	}
	_, err := os.Stdout.WriteString(b.String())
	return err
}

// write makes one line per row.
func (t *table) write(b *strings.Builder, format, between string, rule bool) {
	head := []string{"workload", "unit", "target"}
	for _, b := range t.brokers {
		if b == "floor" {
			b = "floor (itself)"
		}
		head = append(head, b)
	}
	lines := [][]string{head}
	for _, x := range t.rows {
		target := "-"
		if x.target > 0 {
			target = "<= " + number(x.target)
		}
		cells := []string{x.Name, x.unitOf(), target}
		for _, b := range t.brokers {
			cells = append(cells, x.cell(b))
		}
		lines = append(lines, cells)
	}
	width := make([]int, len(head))
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], len(c))
		}
	}
	for n, l := range lines {
		for i := range l {
			l[i] += strings.Repeat(" ", width[i]-len(l[i]))
		}
		fmt.Fprintf(b, format, strings.Join(l, between))
		if n == 0 && rule {
			dashes := make([]string, len(l))
			for i := range dashes {
				dashes[i] = "---"
			}
			fmt.Fprintf(b, format, strings.Join(dashes, between))
		}
	}
}
