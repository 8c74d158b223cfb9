package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/bench"
)

// Every workload is one that the engine accepts, and its figures name stages that the scenario has.
func TestWorkloads(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range choose(options{seconds: 1}) {
		if err := w.scenario.Validate(); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		for _, f := range w.figures {
			if seen[f.name] {
				t.Errorf("two figures are called %s", f.name)
			}
			seen[f.name] = true
		}
	}
	if n := len(choose(options{only: "pairs-qos"})); n != 2 {
		t.Errorf("%d workloads are called like pairs-qos, want 2", n)
	}
}

// sample is a table of two rows: Millrace misses a target of one, a peer is better in the other, and one peer did not do the work.
func sampleTable() *table {
	t := &table{brokers: []string{"floor", "millrace", "nats", "mochi"}}
	add := func(name, unit string, ratio bool, target float64, values map[string]float64) {
		w := workload{name: name, figures: []figure{{name, unit, ratio, target, func(r *bench.Result) float64 { return r.Seconds }}}}
		w.scenario.About = "about " + name
		for round := range 3 {
			for _, b := range t.brokers {
				r := &bench.Result{Seconds: values[b] + float64(round)*0.1*values[b]}
				if values[b] == 0 {
					r.Problems = []string{"3 lost"}
				}
				t.record(w, b, r)
			}
		}
	}
	add("pairs", "CPU-s/M", true, 1.5, map[string]float64{"floor": 0.5, "millrace": 1, "nats": 4})
	add("idle", "B each", false, 500, map[string]float64{"floor": 100, "millrace": 400, "nats": 300, "mochi": 9000})
	return t
}

func TestTable(t *testing.T) {
	var b strings.Builder
	sampleTable().write(&b, "%s\n", "|", false)
	for _, want := range []string{
		"0.55 (0.50-0.60)", // the floor in its own unit
		"2.00 (1.82-2.18)", // Millrace: medians divided, the range by the floor's median
		"no figure", "<= 1.50", "440 (400-480)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	if got := failures(sampleTable()); len(got) != 1 || got[0] != "mochi, about pairs: 3 lost" {
		t.Errorf("failures %q", got)
	}
}

func TestReport(t *testing.T) {
	run := invocation{Began: time.Now(), Brokers: []string{"nats"}, Versions: map[string]string{"nats": "v9"}}
	r := &report{table: sampleTable(), dir: t.TempDir(), runs: []invocation{run}}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(r.dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| nats | v9 |", "| pairs | 2.00 x floor misses <= 1.50 |  |", "| idle | 440 B each  | nats 330 |", "mochi, about pairs: 3 lost"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, file := range []string{"README.md", "cost.svg", "memory.svg", "stores.svg", "results.json"} {
		text, err := os.ReadFile(filepath.Join(r.dir, file))
		if err != nil || strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if svg := r.bars("x", "x floor"); strings.Count(svg, "<rect") != 4+3 { // a legend of four, three bars
		t.Errorf("%d rectangles in %s", strings.Count(svg, "<rect"), svg)
	}
}

// What -add finds in the folder is there again, and new rounds come to it.
func TestAdd(t *testing.T) {
	first := &table{brokers: []string{"floor", "rabbitmq"}}
	w := choose(options{only: "pairs-64", seconds: 1})[0]
	result := func(cost float64) *bench.Result {
		return &bench.Result{Stages: []bench.StageResult{{Name: "flow", BrokerPerM: cost}}}
	}
	first.record(w, "floor", result(0.5))
	first.record(w, "rabbitmq", result(50))
	dir := t.TempDir()
	if err := (&report{table: first, dir: dir, runs: []invocation{{Brokers: first.brokers, Rounds: 1}}}).write(); err != nil {
		t.Fatal(err)
	}
	before, err := earlier(dir)
	if err != nil || len(before.Runs) != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	second := &table{brokers: []string{"floor", "millrace"}}
	second.add(before)
	second.record(w, "floor", result(0.7))
	second.record(w, "millrace", result(0.9))
	var b strings.Builder
	second.write(&b, "%s\n", "|", false)
	for _, want := range []string{"0.60 (0.50-0.70)", "1.50", "83.3"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	if none, err := earlier(t.TempDir()); err != nil || len(none.Rows) != 0 {
		t.Errorf("an empty folder gives %+v, %v", none, err)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0.123: "0.12", 1.5: "1.50", 12.34: "12.3", 999.4: "999", 54321: "54321", 123456: "123K", 2.5e6: "2.50M"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if m := median([]float64{3, 1, 2, 10}); m != 2.5 {
		t.Errorf("median %v", m)
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}
