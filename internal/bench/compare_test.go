package bench

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func resultOf(rate float64, problems ...string) *Result {
	return &Result{
		Scenario: Scenario{Name: "x"}, Problems: problems,
		Stages: []StageResult{{Name: "flow", Seconds: 1, Units: uint64(rate)}},
	}
}

func resultsOf(rates ...float64) (all []*Result) {
	for _, r := range rates {
		all = append(all, resultOf(r))
	}
	return all
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name    string
		a, b    []*Result
		verdict string
		p       float64
	}{
		{"clearly more", resultsOf(10, 11, 12, 13), resultsOf(20, 21, 22, 23), "better", 2.0 / 70},
		{"clearly less", resultsOf(20, 21, 22, 23), resultsOf(10, 11, 12, 13), "worse", 2.0 / 70},
		{"mixed", resultsOf(10, 20, 30, 40), resultsOf(11, 19, 31, 39), "same", 1},
		{"one pair the wrong way round", resultsOf(10, 11, 12, 21), resultsOf(20, 22, 23, 24), "same", 4.0 / 70},
		{"too few", resultsOf(10, 11, 12), resultsOf(20, 21, 22), "unknown", 2.0 / 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, skipped := Compare(c.a, c.b)
			if len(all) != 1 || skipped != 0 {
				t.Fatalf("%+v", all)
			}
			if got := all[0]; got.Verdict != c.verdict || math.Abs(got.P-c.p) > 1e-9 {
				t.Errorf("verdict %s, p %v, want %s, %v", got.Verdict, got.P, c.verdict, c.p)
			}
		})
	}
	all, skipped := Compare(resultsOf(10, 12), []*Result{resultOf(5, "lost"), resultOf(22)})
	if skipped != 1 || all[0].Ratio != 2 || all[0].Low != 22.0/12 || all[0].High != 22.0/10 {
		t.Errorf("%d skipped, %+v", skipped, all)
	}
}

// The counts of arrangements are those of counting them one by one.
func TestRankCounts(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for m := 1; m <= 5; m++ {
			want := make([]float64, n*m+1)
			for set := range 1 << (n + m) {
				u, ones, zeros := 0, 0, 0
				for i := range n + m {
					if set>>i&1 == 1 {
						ones++
						u += zeros
					} else {
						zeros++
					}
				}
				if ones == n {
					want[u]++
				}
			}
			got := rankCounts(n, m)
			for u := range want {
				if got[u] != want[u] {
					t.Fatalf("%d and %d values: %v, want %v", n, m, got, want)
				}
			}
		}
	}
}

// What is written can be read again, histograms included, and shown in every form.
func TestResultFormats(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		h.record(int64(i) * 1e6)
	}
	r := resultOf(1234)
	r.Check = Check{Expected: 1234, Received: 1230, Lost: 4}
	r.Problems = []string{"4 of 1234 deliveries <lost>"}
	r.Stages[0].Latency = summarize(h)
	r.Stages[0].Series = []Point{{At: 0.5, Seconds: 1, Received: 10}, {At: 1.5, Seconds: 1, Received: 20, Measured: true}}
	dir := t.TempDir()
	if err := WriteReport(dir, r, r); err != nil {
		t.Fatal(err)
	}
	back, err := ReadResults(filepath.Join(dir, "results.json"))
	if err != nil || len(back) != 2 {
		t.Fatal(err, len(back))
	}
	got := back[1].Stages[0].Latency
	if got.P50 != r.Stages[0].Latency.P50 || got.Histogram.ValueAtPercentile(99) != h.ValueAtPercentile(99) || got.Histogram.TotalCount() != 1000 {
		t.Errorf("latency came back as %+v", got)
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"latency by percentile", "rate per second", "&lt;lost&gt;", "1230", "<polyline"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"http://", "https://", "<script", "NaN", "Inf"} {
		if strings.Contains(string(page), not) {
			t.Errorf("the page has %q", not)
		}
	}
	var table bytes.Buffer
	if err := WriteTable(&table, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.23K  in 1.00 s", "4 lost", "PROBLEMS", "500 ms"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}
