package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// quantity is one number of a stage that two sets of results are compared by.
type quantity struct {
	name   string
	higher bool // is better
	of     func(*StageResult) float64
	show   func(float64) string
}

func nanos(v float64) string { return ms(int64(v)) }

var quantities = []quantity{
	{"rate per s", true, func(s *StageResult) float64 { return s.Rate() }, si},
	{"broker CPU-s/M", false, func(s *StageResult) float64 { return s.BrokerPerM }, si},
	{"delivery p50", false, func(s *StageResult) float64 { return float64(s.Latency.P50) }, nanos},
	{"delivery p99", false, func(s *StageResult) float64 { return float64(s.Latency.P99) }, nanos},
	{"delivery p99.9", false, func(s *StageResult) float64 { return float64(s.Latency.P999) }, nanos},
	{"publish p50", false, func(s *StageResult) float64 { return float64(s.AckLatency.P50) }, nanos},
	{"publish p99", false, func(s *StageResult) float64 { return float64(s.AckLatency.P99) }, nanos},
	{"connect p50", false, func(s *StageResult) float64 { return float64(s.ConnectTime.P50) }, nanos},
	{"connect p99", false, func(s *StageResult) float64 { return float64(s.ConnectTime.P99) }, nanos},
	{"RSS", false, func(s *StageResult) float64 { return float64(s.RSSAfter) }, func(v float64) string { return mega(int64(v)) }},
}

// Comparison is one quantity of one stage of two sets of results.
type Comparison struct {
	Scenario string  `json:"scenario"`
	Stage    string  `json:"stage"`
	Quantity string  `json:"quantity"`
	A        float64 `json:"a"` // medians
	B        float64 `json:"b"`
	Rounds   [2]int  `json:"rounds"`
	// Ratio of B to A, of the medians, with the least and the greatest that any two rounds give.
	Ratio, Low, High float64
	// P is the probability of a difference like this or a greater one between sets that do not differ (Mann and Whitney, two-sided, exact).
	P float64 `json:"p"`
	// Verdict: "same" when P says nothing, "better" or "worse" for B, "unknown" with too few rounds to say anything.
	Verdict string `json:"verdict"`
	show    func(float64) string
}

// significance is the P below which a difference counts as real.
const significance = 0.05

// Compare compares what the two sets of results have in common. Results with problems take no part; skipped is how many.
func Compare(a, b []*Result) (all []Comparison, skipped int) {
	a, skippedA := sound(a)
	b, skippedB := sound(b)
	for _, key := range stagesOf(a) {
		for _, q := range quantities {
			x, y := values(a, key, q), values(b, key, q)
			if len(x) == 0 || len(y) == 0 {
				continue
			}
			all = append(all, compareOne(key, q, x, y))
		}
	}
	return all, skippedA + skippedB
}

func sound(all []*Result) (good []*Result, skipped int) {
	for _, r := range all {
		if len(r.Problems) == 0 {
			good = append(good, r)
		}
	}
	return good, len(all) - len(good)
}

// stagesOf returns the pairs of scenario and stage, in order.
func stagesOf(all []*Result) [][2]string {
	var keys [][2]string
	for _, r := range all {
		for _, s := range r.Stages {
			if k := [2]string{r.Scenario.Name, s.Name}; !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// values of a quantity, one per round; those that were not measured (zero) are left out.
func values(all []*Result, key [2]string, q quantity) []float64 {
	var v []float64
	for _, r := range all {
		for i := range r.Stages {
			if r.Scenario.Name == key[0] && r.Stages[i].Name == key[1] {
				if x := q.of(&r.Stages[i]); x > 0 {
					v = append(v, x)
				}
			}
		}
	}
	return v
}

func compareOne(key [2]string, q quantity, x, y []float64) Comparison {
	slices.Sort(x)
	slices.Sort(y)
	c := Comparison{
		Scenario: key[0], Stage: key[1], Quantity: q.name, A: median(x), B: median(y), Rounds: [2]int{len(x), len(y)},
		Low: y[0] / x[len(x)-1], High: y[len(y)-1] / x[0], P: mannWhitney(x, y), show: q.show,
	}
	c.Ratio = c.B / c.A
	switch least := 2 / choose(len(x)+len(y), len(x)); {
	case least > significance:
		c.Verdict = "unknown"
	case c.P >= significance:
		c.Verdict = "same"
	case (c.Ratio > 1) == q.higher:
		c.Verdict = "better"
	default:
		c.Verdict = "worse"
	}
	return c
}

// median of a sorted list.
func median(v []float64) float64 {
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func choose(n, k int) float64 {
	r := 1.0
	for i := range k {
		r = r * float64(n-i) / float64(i+1)
	}
	return r
}

// mannWhitney returns the exact two-sided p-value of the rank-sum test of two samples. Ties count half, which makes it a little
// too cautious.
func mannWhitney(x, y []float64) float64 {
	u := 0.0
	for _, a := range x {
		for _, b := range y {
			switch {
			case a < b:
				u++
			case a == b:
				u += 0.5
			}
		}
	}
	n, m := len(x), len(y)
	u = min(u, float64(n*m)-u)
	counts := rankCounts(n, m)
	below := 0.0
	for i := 0; float64(i) <= math.Ceil(u); i++ {
		below += counts[i]
	}
	return min(1, 2*below/choose(n+m, n))
}

// rankCounts returns how many of the arrangements of n and m values have each value of U.
func rankCounts(n, m int) []float64 {
	// The number of ways to write u as a sum of at most n parts of at most m each: the coefficients of the Gaussian binomial, made by
	// multiplying with (1 - q^(m+i)) and dividing by (1 - q^i) for i = 1 to n.
	c := make([]float64, n*m+1)
	c[0] = 1
	for i := 1; i <= n; i++ {
		for u := len(c) - 1; u >= m+i; u-- {
			c[u] -= c[u-m-i]
		}
		for u := i; u < len(c); u++ {
			c[u] += c[u-i]
		}
	}
	return c
}

// WriteComparison writes it for people.
func WriteComparison(w io.Writer, nameA, nameB string, all []Comparison, skipped int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "scenario\tstage\tquantity\t%s\t%s\tratio\t(any two rounds)\tp\tverdict for %s\n", nameA, nameB, nameB)
	for _, c := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.3f\t(%.3f to %.3f)\t%.3f\t%s\n", c.Scenario, c.Stage, c.Quantity, c.show(c.A), c.show(c.B),
			c.Ratio, c.Low, c.High, c.P, c.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if skipped > 0 {
		fmt.Fprintf(w, "%d results had problems and were left out\n", skipped)
	}
	for _, c := range all {
		if c.Verdict == "unknown" {
			_, err := fmt.Fprintln(w, "unknown: four rounds of each, one after the other in turn, are the least that can show a difference")
			return err
		}
	}
	return nil
}
