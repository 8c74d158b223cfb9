package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/internal/bench"
)

// report is what -report writes: README.md with tables, results.json with every figure of every round, and bar charts.
type report struct {
	*table
	dir  string
	runs []invocation
}

// invocation is one run of this program that the report is made of; -add makes several.
type invocation struct {
	Began    time.Time         `json:"began"`
	Command  string            `json:"command"`
	Rounds   int               `json:"rounds"` // whole ones
	Seconds  float64           `json:"seconds"`
	Machine  bench.Machine     `json:"machine"`
	Brokers  []string          `json:"brokers"`
	Versions map[string]string `json:"versions"`
}

// stored is the content of results.json.
type stored struct {
	Runs []invocation `json:"runs"`
	Rows []*row       `json:"rows"`
}

// earlier reads what the folder holds, for -add. It is nothing when there is no folder.
func earlier(dir string) (stored, error) {
	var s stored
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// add takes over the rows of an earlier run.
func (t *table) add(s stored) {
	for _, run := range s.Runs {
		for _, b := range run.Brokers {
			if !slices.Contains(t.brokers, b) {
				t.brokers = append(t.brokers, b)
			}
		}
	}
	figures := map[string]figure{}
	for _, w := range workloads() {
		for _, f := range w.figures {
			figures[f.name] = f
		}
	}
	for _, x := range s.Rows {
		if f, ok := figures[x.Name]; ok {
			x.figure = f
			t.rows = append(t.rows, x)
		}
	}
}

// order sorts the rows as the workloads stand.
func (t *table) order() {
	place := map[string]int{}
	for _, w := range workloads() {
		for _, f := range w.figures {
			place[f.name] = len(place)
		}
	}
	slices.SortStableFunc(t.rows, func(a, b *row) int { return place[a.Name] - place[b.Name] })
}

func (r *report) write() error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	r.order()
	files := map[string]string{"README.md": r.page()}
	for _, c := range []struct{ file, title, unit string }{
		{"cost.svg", "CPU of the broker per unit of work, as a multiple of the floor (logarithmic; shorter is better)", "x floor"},
		{"stores.svg", "CPU seconds of the broker per million messages stored or replayed (logarithmic; shorter is better)", "CPU-s/M"},
		{"memory.svg", "resident bytes of the broker (logarithmic; shorter is better)", "B each"},
	} {
		files[c.file] = r.bars(c.title, c.unit)
	}
	data, err := json.MarshalIndent(stored{r.runs, r.rows}, "", " ")
	if err != nil {
		return err
	}
	files["results.json"] = string(data) + "\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) page() string {
	var b strings.Builder
	m := r.runs[0].Machine
	fmt.Fprintf(&b, `# Benchmarks

Written by `+"`make bench-peers`"+` (test/ratio); do not edit. Every broker runs alone beside the load generator, on loopback, in a
fresh process per run, and they take turns. Figures are medians, with the least and the greatest in brackets where there are several. A
run that lost, repeated or reordered a message, refused one, or lowered its quality of service, has no figure.

The primary figure is CPU time of the broker's process per million deliveries (or connections), as a multiple of what `+"`test/floor`"+`
needs for the same traffic in the same run: a bare epoll loop without any state, which copies a PUBLISH to whoever subscribed to that
very topic. It is a yardstick, not an optimum. CPU time holds when the machine is noisy and carries over to bigger ones; rates do neither.

Machine: %s, %d cores, %.0f GiB, Linux %s.
`, m.CPU, m.Cores, math.Round(float64(m.Memory)/(1<<30)), m.Kernel)
	for _, run := range r.runs {
		fmt.Fprintf(&b, "\nBegan %s, load averages %s, %d rounds of %g s each after 1 s of warm-up:\n\n    %s\n\n| broker | version |\n| --- | --- |\n",
			run.Began.UTC().Format("2006-01-02 15:04 MST"), run.Machine.Load, run.Rounds, run.Seconds, run.Command)
		for _, name := range run.Brokers {
			fmt.Fprintf(&b, "| %s | %s |\n", name, run.Versions[name])
		}
	}
	b.WriteString("\nSettings of each: test/peers/settings.go.\n\n## Cost of a message\n\n![bar chart](cost.svg)\n\n")
	r.part(&b, "x floor")
	b.WriteString("\n## Memory\n\n![bar chart](memory.svg)\n\n")
	r.part(&b, "B each")
	b.WriteString("\n## Stores\n\nPeers that keep this in memory only do less than those that write it to disk.\n\n![bar chart](stores.svg)\n\n")
	r.part(&b, "CPU-s/M")
	b.WriteString("\n## Rates\n\nDeliveries and connections per second, with broker and load generator on the same cores: they depend on what else the machine does.\n\n")
	r.part(&b, "/s")
	r.latencies(&b)
	r.behind(&b)
	r.failures(&b)
	return b.String()
}

// part is the table of the rows with one unit.
func (r *report) part(b *strings.Builder, unit string) {
	some := &table{brokers: r.brokers}
	for _, x := range r.rows {
		if x.unitOf() == unit {
			some.rows = append(some.rows, x)
		}
	}
	some.write(b, "| %s |\n", " | ", true)
}

func (r *report) latencies(b *strings.Builder) {
	b.WriteString("\n## Latency\n\np99 from the moment a message was due. Rows with a rate show how a broker that is not busy answers; the others how long its queues get.\n\n")
	r.part(b, "ms p99")
}

// behind lists where Millrace misses its target or a peer does better.
func (r *report) behind(b *strings.Builder) {
	b.WriteString("\n## Where Millrace is behind\n\n")
	var lines []string
	for _, x := range r.rows {
		mine := median(x.Values["millrace"])
		if math.IsNaN(mine) {
			if len(x.Failed["millrace"]) > 0 {
				lines = append(lines, fmt.Sprintf("| %s | no figure: %s | |\n", x.Name, x.Failed["millrace"][0]))
			}
			continue
		}
		by := 1.0
		if x.ratio {
			by = median(x.Values["floor"])
		}
		var better []string
		for _, p := range r.brokers {
			v := median(x.Values[p])
			if p == "floor" || p == "millrace" || math.IsNaN(v) {
				continue
			}
			if x.higher() && v > mine*1.03 || !x.higher() && v < mine/1.03 {
				better = append(better, fmt.Sprintf("%s %s", p, number(v/by)))
			}
		}
		target := ""
		if x.target > 0 && mine/by > x.target {
			target = "misses <= " + number(x.target)
		}
		if target != "" || len(better) > 0 {
			lines = append(lines, fmt.Sprintf("| %s | %s %s %s | %s |\n", x.Name, number(mine/by), x.unitOf(), target, strings.Join(better, ", ")))
		}
	}
	if len(lines) == 0 {
		b.WriteString("Nowhere in these runs.\n")
		return
	}
	b.WriteString("By more than 3 %, or of a target:\n\n| row | Millrace | better |\n| --- | --- | --- |\n" + strings.Join(lines, ""))
}

// failures lists who did not do the work.
func (r *report) failures(b *strings.Builder) {
	b.WriteString("\n## No figure\n\n")
	lines := failures(r.table)
	if len(lines) == 0 {
		b.WriteString("Everybody did all of the work.\n")
	}
	for _, l := range lines {
		fmt.Fprintf(b, "- %s\n", l)
	}
}

// failures says once per broker and workload why there is no figure.
func failures(t *table) []string {
	var all []string
	for _, x := range t.rows {
		for _, p := range t.brokers {
			if why := x.Failed[p]; len(why) > 0 {
				if l := fmt.Sprintf("%s, %s: %s", p, x.About, why[0]); !slices.Contains(all, l) {
					all = append(all, l)
				}
			}
		}
	}
	return all
}
